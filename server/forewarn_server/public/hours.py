"""The rhythm of background work: full hours of the injected clock."""

from collections.abc import AsyncIterator
from typing import Final

from forewarn_server.exports.planning import HOUR_S, hour_of
from forewarn_shell.clock import Clock

# The two clocks of a machine drift: a wake-up a hair before the hour would do the work for the hour that just ended.
_MARGIN_S: Final = 1.0


async def full_hours(clock: Clock) -> AsyncIterator[int]:
    """Give the running hour (Unix seconds) at once, then each full hour as it begins; none is made up for."""
    while True:
        yield hour_of(clock.utc())
        now_s = clock.utc()
        await clock.sleep_until(clock.monotonic() + hour_of(now_s) + HOUR_S + _MARGIN_S - now_s)
