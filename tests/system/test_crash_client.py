"""The real daemon and the real report, killed where it hurts most."""

from collections.abc import Callable

import pytest

from forewarn_simulations.world import scratch_folder
from tests.system.crashes.client_world import OPERATIONS, ClientWorld

ROUNDS = 4
MANY_ROUNDS = 10


async def live_through(seed: int, rounds: int) -> str:
    async with scratch_folder() as folder, ClientWorld.open(folder, seed) as world:
        await world.day()
        operations = world.random.sample(OPERATIONS * (-(-rounds // len(OPERATIONS))), rounds)
        for number, operation in enumerate(operations, 1):
            try:
                await world.round(operation)
            except BaseException as error:
                error.add_note(f"seed {seed}, round {number} of {operations}: {dict(world.deaths)}")
                raise
        places = "; ".join(f"{place} {times}x" for place, times in sorted(world.deaths.items()))
        witness = world.witness
        return (
            f"phone killed, seed {seed}, {rounds} rounds, {len(witness.recorded)} windows, {len(witness.spoken)}"
            f" identifiers, {len(witness.told)} alerts: {places}"
        )


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_phone_killed_anywhere_loses_no_window_and_tells_and_speaks_nothing_twice(
    seed: int, figure: Callable[[str], None]
) -> None:
    figure(await live_through(seed, ROUNDS))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(101, 121))
async def test_200_rounds_of_it(seed: int, figure: Callable[[str], None]) -> None:
    figure(await live_through(seed, MANY_ROUNDS))
