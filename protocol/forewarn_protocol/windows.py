"""Exposure windows and scan instances: the sightings of one key in half hours, as GAEN's risk rules count them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from math import floor
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from forewarn_protocol.intervals import day_at
from forewarn_protocol.keys import MAX_ONSET_DAYS, DiagnosisKey, ReportType
from forewarn_protocol.matching import Match, MatchedSighting
from forewarn_protocol.metadata import Confidence

WINDOW_S: Final = 1800
SCAN_JOIN_S: Final = 25.5
"""Sightings at most this far from the previous one belong to one scan: scans last seconds, the gaps minutes."""
MAX_MINUTES_SINCE_LAST_SCAN: Final = 5
MINUTES_WHEN_UNKNOWN: Final = 2


class Infectiousness(IntEnum):
    """How infectious a case was on the day of a key."""

    NONE = 0
    STANDARD = 1
    HIGH = 2


def _onset_table() -> dict[int, Infectiousness]:
    # Infectious from two days before the onset of symptoms to ten days after it, most so around the onset.
    return {day: Infectiousness.HIGH if day <= 3 else Infectiousness.STANDARD for day in range(-2, 11)}  # noqa: PLR2004


class KeyMapping(BaseModel):
    """How a region reads what a published key says about its case.

    Missing is not 'unknown': files that leave report type or onset out are read by the two `…_when_missing`. A day
    within ±14 of the onset that the table does not name is not infectious.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    report_type_when_missing: ReportType = ReportType.CONFIRMED_TEST
    infectiousness_when_missing: Infectiousness = Infectiousness.STANDARD
    infectiousness_by_onset_day: dict[Annotated[int, Field(ge=-MAX_ONSET_DAYS, le=MAX_ONSET_DAYS)], Infectiousness] = (
        Field(default_factory=_onset_table)
    )

    def report_type(self, key: DiagnosisKey) -> ReportType:
        """Return a key's report type, or what a missing one means."""
        return self.report_type_when_missing if key.report_type is None else key.report_type

    def infectiousness(self, key: DiagnosisKey) -> Infectiousness:
        """Return how infectious the case was on the key's day, or what a missing onset means."""
        days = key.days_since_onset
        if days is None or abs(days) > MAX_ONSET_DAYS:
            return self.infectiousness_when_missing
        return self.infectiousness_by_onset_day.get(days, Infectiousness.NONE)


@dataclass(frozen=True, slots=True)
class ScanInstance:
    """What one scan heard of a key: mean attenuation (halves up), smallest, and the seconds it stands for."""

    typical_db: int
    minimum_db: float
    seconds: int


@dataclass(frozen=True, slots=True)
class ExposureWindow:
    """Up to half an hour of one key, without the time of day; `day` is the UTC date of its first sighting."""

    day: date
    scan_instances: tuple[ScanInstance, ...]
    report_type: ReportType
    infectiousness: Infectiousness
    confidence: Confidence = Confidence.NONE

    @property
    def seconds(self) -> int:
        """The time that all its scans stand for."""
        return sum(scan.seconds for scan in self.scan_instances)

    @property
    def typical_db(self) -> float:
        """The mean of its scans' attenuations weighted by their seconds; the plain mean if all stand for 0 s."""
        weights = [scan.seconds for scan in self.scan_instances]
        if not any(weights):
            weights = [1] * len(weights)
        return sum(s.typical_db * w for s, w in zip(self.scan_instances, weights, strict=True)) / sum(weights)

    @property
    def minimum_db(self) -> float:
        """The smallest attenuation in it."""
        return min(scan.minimum_db for scan in self.scan_instances)


def exposure_windows(match: Match, mapping: KeyMapping, receiver_correction_db: float = 0) -> Iterator[ExposureWindow]:
    """Yield the windows of one match in order of time: each holds what comes less than 1800 s after its first."""
    for group in _halves(match.sightings):
        yield ExposureWindow(
            day=day_at(group[0].time_s),
            scan_instances=tuple(_scan_instance(burst, receiver_correction_db) for burst in bursts(group)),
            report_type=mapping.report_type(match.key),
            infectiousness=mapping.infectiousness(match.key),
            confidence=group[0].metadata.confidence,
        )


def bursts(sightings: Iterable[MatchedSighting]) -> Iterator[list[MatchedSighting]]:
    """Cut sightings in order of time into scans: a gap of more than 25.5 s to the previous one starts a new one."""
    burst: list[MatchedSighting] = []
    for heard in sightings:
        if burst and heard.time_s - burst[-1].time_s > SCAN_JOIN_S:
            yield burst
            burst = []
        burst.append(heard)
    if burst:
        yield burst


def _halves(sightings: Iterable[MatchedSighting]) -> Iterator[list[MatchedSighting]]:
    window: list[MatchedSighting] = []
    for heard in sightings:
        if window and heard.time_s - window[0].time_s >= WINDOW_S:
            yield window
            window = []
        window.append(heard)
    if window:
        yield window


def _scan_instance(burst: Sequence[MatchedSighting], receiver_correction_db: float) -> ScanInstance:
    attenuations = [heard.attenuation_db(receiver_correction_db) for heard in burst]
    # Python's round() sends halves to the even neighbour; the protocol sends them up.
    typical_db = floor(sum(attenuations) / len(attenuations) + 0.5)
    return ScanInstance(typical_db, min(attenuations), _seconds(burst[0].sighting.since_last_scan_s))


def _seconds(since_last_scan_s: float | None) -> int:
    if since_last_scan_s is None:
        return MINUTES_WHEN_UNKNOWN * 60
    # Compared before it is made an integer: a scanner that slept for a year must not overflow anything.
    return floor(min(since_last_scan_s, MAX_MINUTES_SINCE_LAST_SCAN * 60) / 60) * 60
