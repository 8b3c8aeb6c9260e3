"""Temporary Exposure Keys: fresh, cut short, expired; and the form in which a confirmed case's keys are published."""

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, Self

from forewarn_protocol.errors import BadKey
from forewarn_protocol.intervals import INTERVALS_PER_DAY, MAX_INTERVAL, Interval, next_midnight

KEY_BYTES: Final = 16
MAX_TRANSMISSION_RISK: Final = 8
MAX_ONSET_DAYS: Final = 14


class ReportType(IntEnum):
    """Why a key was published: the numbers of the export format."""

    UNKNOWN = 0
    CONFIRMED_TEST = 1
    CONFIRMED_CLINICAL_DIAGNOSIS = 2
    SELF_REPORT = 3
    RECURSIVE = 4
    REVOKED = 5


@dataclass(frozen=True, slots=True)
class TemporaryExposureKey:
    """A day's seed key: 16 secret bytes, spoken from `rolling_start` for `rolling_period` intervals.

    Raises:
        BadKey: not 16 bytes, a start outside uint32, or a period outside 1..144.
    """

    key: bytes = field(repr=False)
    rolling_start: Interval
    rolling_period: int = INTERVALS_PER_DAY

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise BadKey(f"a key has {len(self.key)} bytes instead of {KEY_BYTES}")
        if not 1 <= self.rolling_period <= INTERVALS_PER_DAY:
            raise BadKey(f"a rolling period is {self.rolling_period}: it must lie in 1..{INTERVALS_PER_DAY}")
        if not 0 <= self.rolling_start <= MAX_INTERVAL - self.rolling_period + 1:
            raise BadKey("a rolling start, or the period from it, lies outside uint32")

    @classmethod
    def fresh(cls, now: Interval, key: bytes) -> Self:
        """Make the key that speaks from `now` until the next UTC midnight; `key` is 16 random bytes."""
        return cls(key, now, next_midnight(now) - now)

    @property
    def end(self) -> Interval:
        """The first interval that this key no longer speaks."""
        return Interval(self.rolling_start + self.rolling_period)

    def covers(self, interval: int) -> bool:
        """Tell whether this key speaks in an interval."""
        return self.rolling_start <= interval < self.end

    def cut_short(self, last_spoken: Interval) -> Self:
        """Return the key as released on its own day: it ends after the last interval it spoke."""
        if not self.covers(last_spoken):
            raise BadKey("a key can only be cut short inside its own period")
        return replace(self, rolling_period=last_spoken - self.rolling_start + 1)


@dataclass(frozen=True, slots=True)
class DiagnosisKey:
    """A published key with what the health authority says about it.

    `report_type` and `days_since_onset` are None where the file leaves them out: missing is not 'unknown', and the
    configuration says how to read it.
    """

    tek: TemporaryExposureKey
    report_type: ReportType | None = None
    days_since_onset: int | None = None
    transmission_risk: int = 0
    variant_of_concern: int | None = None
