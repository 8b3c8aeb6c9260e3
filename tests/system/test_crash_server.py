"""The real server process, killed where it hurts most."""

from collections.abc import Callable

import pytest

from forewarn_simulations.world import scratch_folder
from tests.system.crashes.server_world import OPERATIONS, ServerWorld

ROUNDS = 6
MANY_ROUNDS = 10


async def live_through(seed: int, rounds: int) -> str:
    async with scratch_folder() as folder, ServerWorld.open(folder, seed) as world:
        operations = world.random.sample(OPERATIONS * (-(-rounds // len(OPERATIONS))), rounds)
        for number, operation in enumerate(operations, 1):
            try:
                await world.round(operation)
            except BaseException as error:
                error.add_note(f"seed {seed}, round {number} of {operations}: {dict(world.deaths)}")
                raise
        await world.finish()
        places = "; ".join(f"{place} {times}x" for place, times in sorted(world.deaths.items()))
        return f"server killed, seed {seed}, {rounds} rounds, {len(world.people)} reports: {places}"


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_server_killed_anywhere_keeps_what_it_acknowledged_and_publishes_it_once(
    seed: int, figure: Callable[[str], None]
) -> None:
    figure(await live_through(seed, ROUNDS))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(101, 121))
async def test_200_rounds_of_it(seed: int, figure: Callable[[str], None]) -> None:
    figure(await live_through(seed, MANY_ROUNDS))
