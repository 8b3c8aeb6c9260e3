"""Full hours: the only times that are kept or published of an upload or a seal, and the rhythm of background work."""

from collections.abc import AsyncIterator
from typing import Final

from forewarn_shell.clock import Clock

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
# The two clocks of a machine drift: a wake-up a hair before the hour would do the work for the hour that just ended.
_MARGIN_S: Final = 1.0


def hour_of(time_s: float) -> int:
    """Return the start of the hour, in Unix seconds."""
    return int(time_s // HOUR_S) * HOUR_S


async def full_hours(clock: Clock) -> AsyncIterator[int]:
    """Give the running hour (Unix seconds) at once, then each full hour as it begins; none is made up for."""
    while True:
        yield hour_of(clock.utc())
        now_s = clock.utc()
        await clock.sleep_until(clock.monotonic() + hour_of(now_s) + HOUR_S + _MARGIN_S - now_s)
