"""Published keys and sightings → matches: which of the identifiers heard were spoken by a confirmed case.

Pure Python, one AES call a key; `SightingIndex.heard` is the one loop that a native kernel replaces.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from forewarn_protocol.identifiers import EncryptedMetadata, crypt_metadata, identifiers
from forewarn_protocol.intervals import TOLERANCE_INTERVALS, Interval, interval_at
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_protocol.sightings import Sighting

REPLAY_GUARD_S: Final = 1200
"""A device rotates after 20 minutes at most: who is heard longer under one identifier is a replay."""
POWER_MARGIN_DB: Final = 15
"""A transmit power this far above the median of its confidence class is treated as the median plus this margin."""


class Anomaly(StrEnum):
    """What was strange about sightings of published keys; the counts tell of replays and flipped bits."""

    FAR_IN_TIME = "far-in-time"
    IMPLAUSIBLE_POWER = "implausible-power"
    REPLAYED = "replayed"
    POWER_CAPPED = "power-capped"


@dataclass(frozen=True, slots=True)
class MatchedSighting:
    """A sighting of a published key, with the metadata that the key decrypted."""

    sighting: Sighting
    metadata: Metadata

    @property
    def time_s(self) -> float:
        """Unix seconds of the hearing."""
        return self.sighting.time_s

    def attenuation_db(self, receiver_correction_db: float = 0) -> float:
        """Return what was lost between the sender's transmit power and the corrected RSSI; never below 0."""
        return max(0, self.metadata.tx_power_dbm - (self.sighting.rssi_dbm + receiver_correction_db))


@dataclass(frozen=True, slots=True)
class Match:
    """A published key and its sightings, in order of time; there is at least one."""

    key: DiagnosisKey
    sightings: tuple[MatchedSighting, ...]

    @property
    def distinct_rpis(self) -> int:
        """Under how many identifiers the key was heard: one alone is weaker evidence, a relay could have made it."""
        return len({heard.sighting.payload.rpi for heard in self.sightings})


class SightingIndex:
    """Sightings by their identifier, each list in order of time."""

    def __init__(self, sightings: Iterable[Sighting]) -> None:
        self._by_rpi: dict[bytes, list[Sighting]] = {}
        for sighting in sightings:
            self._by_rpi.setdefault(sighting.payload.rpi, []).append(sighting)
        for heard in self._by_rpi.values():
            heard.sort(key=_order)

    def heard(self, tek: TemporaryExposureKey) -> list[tuple[Interval, Sequence[Sighting]]]:
        """Return every interval of a key whose identifier was heard, with all the sightings of that identifier."""
        spoken = identifiers(tek.key, tek.rolling_start, tek.rolling_period)
        # Nearly every key was never heard: this walk, in C and without a set, is what half a million keys cost.
        if self._by_rpi.keys().isdisjoint(spoken):
            return []
        return [
            (Interval(tek.rolling_start + offset), self._by_rpi[rpi])
            for offset, rpi in enumerate(spoken)
            if rpi in self._by_rpi
        ]


@dataclass(frozen=True, slots=True)
class _Rules:
    tolerance_intervals: int
    replay_guard_s: float
    median_tx_dbm: Mapping[Confidence, int]


def match(
    keys: Iterable[DiagnosisKey],
    index: SightingIndex,
    *,
    tolerance_intervals: int = TOLERANCE_INTERVALS,
    replay_guard_s: float = REPLAY_GUARD_S,
    median_tx_dbm: Mapping[Confidence, int] | None = None,
    anomalies: Counter[Anomaly] | None = None,
) -> Iterator[Match]:
    """Yield each published key that was heard, once, after all keys have been read.

    A key that comes twice (a duplicate, a revision) is one match with the later report. Matches are in the order in
    which their keys first came. `median_tx_dbm` is the calibration median of each confidence class, from the signed
    configuration: without it, no transmit power is capped. `anomalies` is counted up.
    """
    rules = _Rules(tolerance_intervals, replay_guard_s, median_tx_dbm or {})
    counts = Counter[Anomaly]() if anomalies is None else anomalies
    found: dict[bytes, Match] = {}
    walked: set[TemporaryExposureKey] = set()
    for key in keys:
        earlier = found.get(key.tek.key)
        if earlier is not None and key.tek in walked:
            # A file of half a million copies of one key that was heard must not cost more than another.
            found[key.tek.key] = Match(key, earlier.sightings)
            continue
        kept: list[MatchedSighting] = []
        for interval, sightings in index.heard(key.tek):
            kept += _kept(key.tek, interval, sightings, rules, counts)
        if kept:
            walked.add(key.tek)
        if earlier is not None:
            kept += earlier.sightings
        if kept:
            # The same hearing can come from a duplicate of the key: it is the same object, and counts once.
            unique = {id(heard.sighting): heard for heard in kept}.values()
            found[key.tek.key] = Match(key, tuple(sorted(unique, key=lambda heard: _order(heard.sighting))))
    yield from found.values()


def _kept(
    tek: TemporaryExposureKey,
    interval: Interval,
    sightings: Iterable[Sighting],
    rules: _Rules,
    anomalies: Counter[Anomaly],
) -> Iterator[MatchedSighting]:
    first_s: float | None = None
    # All are of one identifier, whose AEM is the same each time it is heard: unless somebody flips bits of it.
    said: dict[EncryptedMetadata, Metadata] = {}
    for sighting in sightings:
        if abs(interval_at(sighting.time_s) - interval) > rules.tolerance_intervals:
            anomalies[Anomaly.FAR_IN_TIME] += 1
            continue
        payload = sighting.payload
        metadata = said.get(payload.aem)
        if metadata is None:
            metadata = Metadata.decode(crypt_metadata(tek.key, payload.rpi, payload.aem))
            said[payload.aem] = metadata
        if not metadata.plausible:
            anomalies[Anomaly.IMPLAUSIBLE_POWER] += 1
            continue
        # The guard runs from the first sighting that stands: one that was dropped above must not open it, else a
        # stranger who once said the identifier hours too early could blank out the true encounter.
        first_s = sighting.time_s if first_s is None else first_s
        if sighting.time_s - first_s > rules.replay_guard_s:
            anomalies[Anomaly.REPLAYED] += 1
            continue
        yield MatchedSighting(sighting, _capped(metadata, rules.median_tx_dbm, anomalies))


def _capped(metadata: Metadata, medians: Mapping[Confidence, int], anomalies: Counter[Anomaly]) -> Metadata:
    median = medians.get(metadata.confidence)
    if median is None or metadata.tx_power_dbm <= median + POWER_MARGIN_DB:
        return metadata
    anomalies[Anomaly.POWER_CAPPED] += 1
    return replace(metadata, tx_power_dbm=median + POWER_MARGIN_DB)


def _order(sighting: Sighting) -> tuple[float, float, int, bytes]:
    # Time decides; the rest makes the order of simultaneous sightings independent of the order in which they came.
    since = -1.0 if sighting.since_last_scan_s is None else sighting.since_last_scan_s
    return sighting.time_s, since, sighting.rssi_dbm, sighting.payload.service_data
