"""The seam through which every wall-clock read goes."""

import asyncio
import time
from enum import IntEnum
from typing import Protocol

from forewarn_shell.timekeeping import has_agreeing_real_time_clock, is_disciplined


class Keeper(IntEnum):
    """Who keeps a machine's clock right, as far as the machine knows; the higher one is believed before the lower."""

    NOBODY = 0
    REAL_TIME_CLOCK = 1
    TIME_SERVICE = 2


class Clock(Protocol):
    """Time as the program sees it; tests and simulations bring their own."""

    def utc(self) -> float:
        """Return Unix seconds. May step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step, from an arbitrary start."""
        ...

    def suspended_s(self) -> float:
        """Return the seconds of `monotonic()` in which the machine was suspended, from an arbitrary start."""
        ...

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return once `monotonic()` has reached `monotonic_s`; at once if it has."""
        ...

    def kept_by(self) -> Keeper:
        """Return who keeps `utc()` right at this moment."""
        ...


class SystemClock:
    """The machine's own clock."""

    def utc(self) -> float:
        """Return the machine's Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since boot, counting suspend where the system tells it."""
        # A tracer that slept through a suspend must not believe that its rotation is still due in ten minutes.
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    def suspended_s(self) -> float:
        """Return by how much the clock that stands still meanwhile is behind; the same for ever where there is none."""
        return self.monotonic() - time.monotonic()

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait in the event loop; wakes again after a suspend within a minute of the deadline."""
        # There is no event to wait for: the deadline is a time, and the loop's own timers stop during suspend.
        while (left := monotonic_s - self.monotonic()) > 0:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(min(left, 60.0))

    def kept_by(self) -> Keeper:
        """Ask the kernel whether a time service steers its clock; else, whether a real-time clock agrees with it."""
        if is_disciplined():
            return Keeper.TIME_SERVICE
        return Keeper.REAL_TIME_CLOCK if has_agreeing_real_time_clock(self.utc()) else Keeper.NOBODY
