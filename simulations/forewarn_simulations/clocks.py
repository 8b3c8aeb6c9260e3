"""Clocks for simulations and tests: one that jumps from sleeper to sleeper, one that runs a fixed factor faster.

`VirtualClock` is a discrete-event clock that knows tasks. It stands still while any task that it watches has something
to do (real HTTP, a database thread, computing) and goes on to the next deadline once all of them sleep on it. It wakes
one sleeper at a time, so a run is the same run every time, however long the real work took.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any, Final

from forewarn_shell.clock import Keeper
from forewarn_simulations.watched_tasks import WatchedTasks

STALL_S: Final = 60.0
"""Real seconds without progress after which a `VirtualClock` says for whom it waits, instead of hanging."""

_TASK, _DRIVER = 0, 1  # at one deadline drivers wake last, so that all that is due has happened


class ClockStalled(RuntimeError):
    """Virtual time cannot go on: a task that holds it neither sleeps on the clock nor ends."""


class VirtualClock:
    """A clock whose time passes only while every task that it watches is asleep on it.

    Watched are tasks that ever slept on it, and all that these or the loop's main task start: such a task holds the
    time from its birth, except while it waits for a task that it started (the owner of a TaskGroup). The main task
    holds the time between two sleeps of its own, so a driver starts with `await clock.run_for(0)` and then does its
    real work between calls of `run_for`. What others start, such as a web server's connections, is not watched: the
    task that waits for their answer is.

    `keeper` is what `kept_by` answers: by default a simulated device has network time.

    Raises:
        ClockStalled: in every sleeper, when nothing has moved for `stall_s` real seconds.
    """

    def __init__(self, epoch_s: float = 0.0, *, stall_s: float = STALL_S) -> None:
        self.keeper = Keeper.TIME_SERVICE
        self._epoch_s = epoch_s
        self._now_s = 0.0
        self._suspended_s = 0.0
        self._stall_s = stall_s
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, int, asyncio.Task[Any], asyncio.Future[None]]] = []
        self._tasks = WatchedTasks(self._look)
        self._tasks.join_running_loop()
        self._look_is_due = False
        self._wakes = 0
        self._watchdog: asyncio.TimerHandle | None = None

    def utc(self) -> float:
        """Return the simulated Unix time in seconds."""
        return self._epoch_s + self._now_s

    def monotonic(self) -> float:
        """Return the simulated seconds since the clock was made."""
        return self._now_s

    def suspended_s(self) -> float:
        """Return the seconds that `suspend` has let pass."""
        return self._suspended_s

    def kept_by(self) -> Keeper:
        """Return `keeper`."""
        return self.keeper

    def jump(self, utc_delta_s: float) -> None:
        """Step the Unix time, as setting a machine's clock does; nobody wakes sooner or later for it."""
        self._epoch_s += utc_delta_s

    def suspend(self, seconds: float) -> None:
        """Let time pass in which nobody does anything; whoever should have woken meanwhile wakes now, and is late."""
        self._now_s += seconds
        self._suspended_s += seconds

    async def sleep_until(self, monotonic_s: float) -> None:
        """Sleep until the clock has come to `monotonic_s`; for one turn of the loop if it has already."""
        if monotonic_s <= self._now_s:
            await asyncio.sleep(0)
        else:
            await self._sleep(monotonic_s, _TASK)

    async def run_until(self, monotonic_s: float) -> None:
        """Let the time run, and return when all that is due by `monotonic_s` has happened and is asleep again."""
        await self._sleep(max(monotonic_s, self._now_s), _DRIVER)

    async def run_for(self, seconds: float) -> None:
        """Let the time run for so many simulated seconds, as `run_until` does."""
        await self.run_until(self._now_s + seconds)

    async def _sleep(self, deadline_s: float, rank: int) -> None:
        if math.isnan(deadline_s):
            raise ValueError("a deadline must be a number of seconds")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can sleep on a clock")
        self._tasks.join_running_loop()
        future: asyncio.Future[None] = task.get_loop().create_future()
        heapq.heappush(self._sleepers, (deadline_s, rank, next(self._order), task, future))
        self._tasks.falls_asleep(task)
        try:
            await future
        finally:
            self._tasks.wakes_up(task)

    def _look(self) -> None:
        """Look at the next turn of the loop whether time can go on; called when a task has stopped holding it."""
        if not self._look_is_due and self._sleepers:
            self._look_is_due = True
            loop = self._sleepers[0][4].get_loop()
            # A turn later: who is cancelled in this one, because another failed, wakes first and holds the time.
            loop.call_soon(loop.call_soon, self._step)

    def _step(self) -> None:
        self._look_is_due = False
        while self._sleepers and self._sleepers[0][4].done():  # cancelled in its sleep
            heapq.heappop(self._sleepers)
        if not self._sleepers or math.isinf(self._sleepers[0][0]):
            return
        if self._tasks.holding:
            self._arm_watchdog()
            return
        deadline_s, _, _, task, future = heapq.heappop(self._sleepers)
        self._now_s = max(self._now_s, deadline_s)  # it lies in the past after a suspend
        self._wakes += 1
        self._tasks.wakes_up(task)  # now, not when it runs: nobody else may wake in between
        future.set_result(None)

    def _arm_watchdog(self) -> None:
        if self._watchdog is None:
            loop = self._sleepers[0][4].get_loop()
            self._watchdog = loop.call_later(self._stall_s, self._bark, self._wakes)

    def _bark(self, wakes_then: int) -> None:
        self._watchdog = None
        if not self._tasks.holding or not self._sleepers:
            return
        if self._wakes != wakes_then:
            self._arm_watchdog()
            return
        names = ", ".join(sorted(task.get_name() for task in self._tasks.holding))
        for _, _, _, _, future in self._sleepers:
            if not future.done():
                future.set_exception(
                    ClockStalled(
                        f"virtual time has stood still for {self._stall_s:g} s because of {names}: a task must sleep on"
                        " the clock or end, and the main task lets time run with run_for"
                    )
                )


class ScaledClock:
    """A clock that starts at `epoch_s` and runs `factor` times as fast as real time.

    `jumps` are steps of the Unix time: (simulated seconds since the start, seconds to add), in any order.
    """

    def __init__(self, epoch_s: float, factor: float, jumps: Sequence[tuple[float, float]] = ()) -> None:
        if not (factor > 0 and math.isfinite(factor)):
            raise ValueError("a clock's factor must be a finite number above 0")
        self.factor: Final = factor
        self._epoch_s = epoch_s
        self._jumps = tuple(jumps)
        self._start_s = time.monotonic()

    def utc(self) -> float:
        """Return the simulated Unix time in seconds, with the jumps that have happened."""
        now_s = self.monotonic()
        return self._epoch_s + now_s + sum(delta_s for at_s, delta_s in self._jumps if at_s <= now_s)

    def monotonic(self) -> float:
        """Return the simulated seconds since the clock was made; jumps do not move it."""
        return (time.monotonic() - self._start_s) * self.factor

    async def sleep_until(self, monotonic_s: float) -> None:
        """Sleep in real time until the clock has come to `monotonic_s`."""
        # The deadline is a time, so there is no event to wait for; an event loop may wake a moment too early.
        while (left_s := monotonic_s - self.monotonic()) > 0:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(left_s / self.factor)

    def suspended_s(self) -> float:
        """Return 0: whoever scales the time does not suspend."""
        return 0.0

    def kept_by(self) -> Keeper:
        """Return that a time service does: whoever scales the time keeps it."""
        return Keeper.TIME_SERVICE
