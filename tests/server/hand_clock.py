"""A clock that moves only when a test moves it."""

import asyncio
from dataclasses import dataclass, field

from forewarn_shell.clock import Keeper

NOON = 1_622_462_400
"""2021-05-31 12:00 UTC."""


@dataclass
class HandClock:
    now_s: float = NOON
    sleepers: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)
    keeper: Keeper = Keeper.TIME_SERVICE
    stepped_s: float = 0.0

    def utc(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s - NOON - self.stepped_s

    def suspended_s(self) -> float:
        return 0.0

    def kept_by(self) -> Keeper:
        return self.keeper

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an operator or a time service does; the monotonic one goes on."""
        self.now_s += seconds
        self.stepped_s += seconds

    async def sleep_until(self, monotonic_s: float) -> None:
        while self.monotonic() < monotonic_s:
            awake = asyncio.get_running_loop().create_future()
            self.sleepers.append((monotonic_s, awake))
            await awake

    async def until_someone_sleeps(self) -> None:
        while not self.sleepers:  # noqa: ASYNC110 - there is no event: the sleeper is code under test
            await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        due = [entry for entry in self.sleepers if entry[0] <= self.monotonic()]
        self.sleepers = [entry for entry in self.sleepers if entry not in due]
        for _, awake in due:
            if not awake.done():
                awake.set_result(None)
