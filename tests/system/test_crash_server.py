"""The real server process, killed where it hurts most."""

from collections.abc import Callable

import pytest

from forewarn_simulations.world import scratch_folder
from tests.system.crashes.server_rounds import ROUNDS, round_of
from tests.system.crashes.server_world import ServerWorld

OPERATIONS = tuple(ROUNDS)
MANY_ROUNDS = 10
MOST_STEPS = 200
"""More than any operation has."""


async def live_at_random(seed: int, rounds: int) -> str:
    async with scratch_folder() as folder, ServerWorld.open(folder, seed) as world:
        for operation in world.random.sample(OPERATIONS * (-(-rounds // len(OPERATIONS))), rounds):
            await round_of(world, operation)
        return f"server killed, seed {seed}, {await world.finish()}"


@pytest.mark.parametrize(("seed", "rounds"), [(1, 8), (2, 4)])
async def test_a_server_killed_anywhere_keeps_what_it_acknowledged_and_publishes_it_once(
    seed: int, rounds: int, figure: Callable[[str], None]
) -> None:
    figure(await live_at_random(seed, rounds))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(101, 121))
async def test_200_rounds_of_it(seed: int, figure: Callable[[str], None]) -> None:
    figure(await live_at_random(seed, MANY_ROUNDS))


@pytest.mark.slow
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "hour"])
async def test_a_server_killed_before_each_of_its_steps(operation: str, figure: Callable[[str], None]) -> None:
    async with scratch_folder() as folder, ServerWorld.open(folder, 0) as world:
        for nth in range(1, MOST_STEPS):
            if not (await round_of(world, operation, nth)).startswith("before"):
                break  # it has no n-th step: everything was met
        assert 5 < nth < MOST_STEPS - 1
        figure(f"server killed before each step, {await world.finish()}")
