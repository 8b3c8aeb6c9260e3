"""The first start of all, killed before each of its steps: the next start finishes it, and leaves nothing over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forewarn_simulations.world import scratch_folder
from tests.server.hand_clock import NOON
from tests.system.crashes import entries
from tests.system.crashes.children import Child
from tests.system.crashes.people import Violation, demand
from tests.system.crashes.tracing import Plan

MOST_STEPS = 200
# What starts, what it says when it works, and its settings.
STARTS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "server": (entries.set_up, "made", {}),
    "phone": (entries.carry, "ready", {"neighbours": []}),
}


LEFT = {"server": "sync new v1", "phone": "sync new device.key"}
"""A step before which a kill leaves something over."""


async def live(
    which: str, data: Path, log: Path, plan: Plan | None = None, unprotected: tuple[str, ...] = ()
) -> tuple[bool, str]:
    """Start it, and kill it at the latest when it works; tell whether it came so far, and where it died."""
    entry, word, settings = STARTS[which]
    child = await Child.start(
        entry, data, log, epoch_s=NOON, factor=1000.0, plan=plan, unprotected=unprotected, **dict(settings)
    )
    works = await child.hear(word) is not None
    await child.end()
    return works, child.place_of_death()


async def start_twice(which: str, folder: Path, plan: Plan, unprotected: tuple[str, ...] = ()) -> str:
    """Kill the first start, demand that the second one works and leaves nothing over; say where the first died."""
    data = folder / "above" / "data"
    data.parent.mkdir(parents=True)
    _, died = await live(which, data, folder / "first", plan)
    works, _ = await live(which, data, folder / "second", unprotected=unprotected)
    demand(works, f"{died}: nothing starts any more")
    left_over = {path.name for path in data.rglob(".*")}
    demand(not left_over, f"{died}: {left_over} stays")
    return died


@pytest.mark.slow
@pytest.mark.parametrize("which", STARTS)
async def test_a_first_start_killed_before_each_of_its_steps_is_completed_by_the_next(
    which: str, figure: Callable[[str], None]
) -> None:
    async with scratch_folder() as folder:
        for nth in range(1, MOST_STEPS):
            if not (await start_twice(which, folder / f"{nth}", Plan(nth))).startswith("before"):
                break  # it works before it has come to an n-th step
        assert 5 < nth < MOST_STEPS - 1
        figure(f"first start of a {which} killed before each of its {nth - 1} steps")


@pytest.mark.parametrize("which", STARTS)
async def test_what_a_killed_start_left_is_found_where_nothing_clears_it(which: str) -> None:
    plan = Plan(1, LEFT[which])
    async with scratch_folder() as folder:
        with pytest.raises(Violation, match="stays"):
            await start_twice(which, folder / "without", plan, ("left-overs are cleared",))
        assert await start_twice(which, folder / "with", plan) == f"before {LEFT[which]}"
