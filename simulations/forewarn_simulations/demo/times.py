"""When the demo takes place: one day in Vietnam, told in local time."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

VIETNAM: Final = timezone(timedelta(hours=7), "Vietnam")
EPOCH: Final = datetime(2026, 3, 3, 11, 15, tzinfo=VIETNAM)
"""The clock's start: a quarter of an hour before lunch."""
EPOCH_S: Final = EPOCH.astimezone(UTC).timestamp()


def local_time(time_s: float) -> datetime:
    """Return the Vietnamese wall-clock time of a moment of the story, given in seconds since its start."""
    return EPOCH + timedelta(seconds=time_s)
