"""The real daemon and the real report, killed where it hurts most."""

from collections.abc import Callable

import pytest

from forewarn_simulations.world import scratch_folder
from tests.system.crashes.client_world import OPERATIONS, ClientWorld

MANY_ROUNDS = 10
IN_A_ROW = 12
"""Rounds of one phone: each is a day, and after 14 a phone forgets what the checks ask for."""


async def live_at_random(seed: int, rounds: int, assessing: str) -> str:
    async with scratch_folder() as folder, ClientWorld.open(folder, seed, assessing) as world:
        await world.day()
        for operation in world.random.sample(OPERATIONS * (-(-rounds // len(OPERATIONS))), rounds):
            await world.round(operation)
        return f"phone killed, seed {seed}, {world.story()}"


@pytest.mark.parametrize(("seed", "assessing"), [(1, "thread"), (2, "process")])
async def test_a_phone_killed_anywhere_loses_no_window_and_tells_and_speaks_nothing_twice(
    seed: int, assessing: str, figure: Callable[[str], None]
) -> None:
    figure(await live_at_random(seed, len(OPERATIONS), assessing))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(101, 121))
async def test_200_rounds_of_it(seed: int, figure: Callable[[str], None]) -> None:
    # A process takes longer to start than most of these lives last: some of them all the same.
    figure(await live_at_random(seed, MANY_ROUNDS, "thread" if seed % 5 else "process"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "first", "assessing"),
    [
        ("fetch", 1, "thread"),
        ("fetch", 13, "process"),
        ("match", 1, "process"),
        ("record", 1, "thread"),
        ("report", 1, "thread"),
        ("report", 13, "thread"),
    ],
)
async def test_a_phone_killed_before_each_of_its_steps(
    operation: str, first: int, assessing: str, figure: Callable[[str], None]
) -> None:
    async with scratch_folder() as folder, ClientWorld.open(folder, 0, assessing) as world:
        await world.day()
        for nth in range(first, first + IN_A_ROW):
            if not (await world.round(operation, nth)).startswith("before"):
                break  # it has no n-th step
        figure(f"phone killed before each step from step {first} on, {world.story()}")
