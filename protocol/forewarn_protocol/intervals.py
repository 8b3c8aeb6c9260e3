"""The only arithmetic on time: ENIntervalNumbers, UTC days, tolerance."""

from datetime import UTC, date, datetime, timedelta
from typing import Final, NewType

from forewarn_protocol.errors import BadKey

Interval = NewType("Interval", int)
"""ENIntervalNumber: ten-minute steps since the Unix epoch, uint32."""

INTERVAL_S: Final = 600
INTERVALS_PER_DAY: Final = 144
MAX_INTERVAL: Final = 2**32 - 1
END_OF_DATES_S: Final = 253_402_300_800
"""The first second after the year 9999, the last that a date can name; uint32 intervals reach the year 83,000."""
TOLERANCE_INTERVALS: Final = 12
"""A sighting matches an identifier at most two hours from its own interval."""

_EPOCH: Final = date(1970, 1, 1)


def interval_at(unix_s: float) -> Interval:
    """Return the interval that contains a Unix time.

    Raises:
        BadKey: the time lies before 1970 or past the last uint32 interval.
    """
    # A comparison that NaN fails too.
    if not 0 <= unix_s < (MAX_INTERVAL + 1) * INTERVAL_S:
        raise BadKey("a time lies outside the intervals of the protocol: give Unix seconds")
    return Interval(int(unix_s // INTERVAL_S))


def start_s(interval: int) -> int:
    """Return the Unix time, in seconds, at which an interval starts."""
    return interval * INTERVAL_S


def midnight(interval: int) -> Interval:
    """Return the first interval of the UTC day that contains `interval`."""
    return Interval(interval - interval % INTERVALS_PER_DAY)


def next_midnight(interval: int) -> Interval:
    """Return the first interval of the UTC day after the one that contains `interval`."""
    return Interval(midnight(interval) + INTERVALS_PER_DAY)


def day_of(interval: int) -> date:
    """Return the UTC date that contains an interval.

    Raises:
        BadKey: the interval lies after the year 9999.
    """
    if start_s(interval) >= END_OF_DATES_S:
        raise BadKey("an interval lies after the year 9999: no date names it")
    return _EPOCH + timedelta(days=interval // INTERVALS_PER_DAY)


def first_interval(day: date) -> Interval:
    """Return the first interval of a UTC date."""
    return Interval((day - _EPOCH).days * INTERVALS_PER_DAY)


def day_at(unix_s: float) -> date:
    """Return the UTC date that contains a Unix time."""
    return day_of(interval_at(unix_s))


def iso_utc(unix_s: float) -> str:
    """Return a Unix time as ISO 8601 in UTC, to the second; in words where no date names it."""
    if unix_s >= END_OF_DATES_S:
        return "after the year 9999"
    return datetime.fromtimestamp(int(unix_s), UTC).isoformat().replace("+00:00", "Z")
