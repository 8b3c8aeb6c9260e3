"""What a server makes of its clock: no step goes unnoticed, and a step ahead forgets nothing.

Certificates, embargoes and feeds all hang on the time. While the clock contradicts this process's own count and no time
service vouches for it, nothing that needs the time is done: phones are told to come back, feeds stay as they are.
"""

from typing import Final

from forewarn_protocol.errors import Missing
from forewarn_server.hours import DAY_S, HOUR_S
from forewarn_server.logs import logger
from forewarn_shell.clock import Clock, Keeper

TOLERATED_S: Final = float(HOUR_S)
"""A time service steers a clock by seconds; devices believe a server that is off by less than this."""
SURE_GAP_S: Final = 2.0 * DAY_S
"""So far ahead of all that is on record the clock may be, and still decide what is to be forgotten."""

_log: Final = logger()


class SteadyTime:
    """The clock beside this process's own count; `recorded_s` is when the server last signed a feed."""

    def __init__(self, recorded_s: int | None = None) -> None:
        self._recorded_s = recorded_s
        self._counts_from: tuple[float, float] | None = None
        self._sure_from: tuple[float, float] | None = None

    def now_s(self, clock: Clock) -> float:
        """Return the clock's Unix time.

        Raises:
            Missing: it has stepped, or stands before what was signed, and no time service keeps it.
        """
        now_s, monotonic_s = clock.utc(), clock.monotonic()
        if self._counts_from is None:
            off_s = min(0.0, now_s - (self._recorded_s or 0))
        else:
            off_s = now_s - _counted_s(self._counts_from, monotonic_s)
        if abs(off_s) > TOLERATED_S:
            told = f"the clock stands {_span(off_s)} {'ahead of' if off_s > 0 else 'behind'} this server's own record"
            if clock.kept_by() is not Keeper.TIME_SERVICE:
                raise Missing(f"{told} and no time service keeps it: set it, or start one; nothing is lost meanwhile")
            _log.warning("clock stepped", reason=told)
        if self._counts_from is None or abs(off_s) > TOLERATED_S:
            self._counts_from = (now_s, monotonic_s)
        return now_s

    def reached_s(self, clock: Clock) -> float:
        """Return the time that has certainly been reached: the clock's, unless it steps or ran ahead of the record."""
        monotonic_s = clock.monotonic()
        try:
            now_s = self.now_s(clock)
        except Missing:
            now_s = None
        if self._sure_from is None:
            self._sure_from = (self._first_sure_s(clock, now_s), monotonic_s)
        sure_s = _counted_s(self._sure_from, monotonic_s)
        return sure_s if now_s is None or now_s - sure_s > SURE_GAP_S else now_s

    def _first_sure_s(self, clock: Clock, now_s: float | None) -> float:
        recorded_s = self._recorded_s or 0
        if now_s is None:
            return recorded_s
        is_far_ahead = self._recorded_s is not None and now_s - recorded_s > SURE_GAP_S
        return recorded_s if is_far_ahead and clock.kept_by() is not Keeper.TIME_SERVICE else now_s


def _counted_s(began: tuple[float, float], monotonic_s: float) -> float:
    utc_s, then_s = began
    return utc_s + monotonic_s - then_s


def _span(seconds: float) -> str:
    return f"{abs(seconds) / DAY_S:.0f} days" if abs(seconds) >= 2 * DAY_S else f"{abs(seconds) / HOUR_S:.0f} h"
