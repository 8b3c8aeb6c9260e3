"""The seam through which every wall-clock read goes."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the program sees it; tests and simulations bring their own."""

    def utc(self) -> float:
        """Return Unix seconds. May step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step, from an arbitrary start."""
        ...

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return once `monotonic()` has reached `monotonic_s`; at once if it has."""
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

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait in the event loop; wakes again after a suspend within a minute of the deadline."""
        # There is no event to wait for: the deadline is a time, and the loop's own timers stop during suspend.
        while (left := monotonic_s - self.monotonic()) > 0:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(min(left, 60.0))
