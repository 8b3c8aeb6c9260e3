import asyncio

import pytest

from forewarn_simulations.demo.outcome import Moment, Outcome
from forewarn_simulations.demo.story import run_story


class Listener:
    """A narrator that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Moment] = []
        self.reached_s: list[float] = []

    def reach(self, time_s: float) -> None:
        self.reached_s.append(time_s)

    def tell(self, moment: Moment) -> None:
        self.told.append(moment)


@pytest.fixture(scope="session")
def told_run() -> tuple[Outcome, Listener]:
    """One whole run of the smallest demo: about three seconds, so it is shared."""
    listener = Listener()
    return asyncio.run(run_story(1, 12, listener)), listener


@pytest.fixture(scope="session")
def outcome(told_run: tuple[Outcome, Listener]) -> Outcome:
    return told_run[0]
