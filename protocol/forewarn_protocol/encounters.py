"""Sightings of one key → encounters: slots of evidence that sharpen each other, and the minutes within two metres."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from forewarn_protocol.matching import Match, MatchedSighting
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.proximity import ProximityModel, power_mean_db
from forewarn_protocol.windows import bursts

MAX_GAP_S: Final = 600.0
"""Scans are at most 5 minutes apart: bursts this far apart missed one scan, and are still one encounter."""
MAX_SLOT_S: Final = 300.0
SLOT_WHEN_UNKNOWN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Slot:
    """One burst and the time it stands for: the mean attenuation (over powers), how many samples, their spread.

    The attenuation has no receiver correction in it, so a score can be redone after a recalibration.
    """

    time_s: float
    seconds: float
    attenuation_db: float
    samples: int
    spread_db: float
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class Judged:
    """A slot with its evidence pooled from its neighbours."""

    slot: Slot
    llr: float
    probability: float


@dataclass(frozen=True, slots=True)
class Encounter:
    """Slots of one key in order of time, without a long gap; there is at least one."""

    slots: tuple[Slot, ...]

    @property
    def start_s(self) -> float:
        """Unix seconds of the first burst."""
        return self.slots[0].time_s

    @property
    def seconds(self) -> float:
        """The time that all slots stand for."""
        return sum(slot.seconds for slot in self.slots)

    def judged(self, model: ProximityModel, receiver_correction_db: float = 0) -> list[Judged]:
        """Return each slot with the evidence of all bursts at most half the smoothing time before or after it.

        An exposure is judged afterwards, so what came later counts as much as what came before.
        """
        judged = []
        first = end = 0
        for slot in self.slots:
            while self.slots[first].time_s < slot.time_s - model.smoothing_s / 2:
                first += 1
            while end < len(self.slots) and self.slots[end].time_s <= slot.time_s + model.smoothing_s / 2:
                end += 1
            llr = _pooled_llr(self.slots[first:end], model, receiver_correction_db)
            judged.append(Judged(slot, llr, model.probability(llr)))
        return judged

    def expected_minutes(self, model: ProximityModel, receiver_correction_db: float = 0) -> float:
        """Return the expected minutes within two metres: each slot's time, weighted with its probability."""
        return expected_minutes(self.judged(model, receiver_correction_db))


def expected_minutes(slots: Iterable[Judged]) -> float:
    """Return the expected minutes within two metres of slots that were judged, from one encounter or several."""
    return fsum(judged.probability * judged.slot.seconds for judged in slots) / 60


def _pooled_llr(slots: Sequence[Slot], model: ProximityModel, receiver_correction_db: float) -> float:
    attenuation_db = fsum(slot.attenuation_db for slot in slots) / len(slots)
    return model.log_likelihood_ratio(
        model.loss_db(attenuation_db, receiver_correction_db),
        bursts=len(slots),
        samples=sum(slot.samples for slot in slots),
        confidence=min(slot.confidence for slot in slots),
    )


def encounters(match: Match) -> Iterator[Encounter]:
    """Yield the encounters with one key, in order of time."""
    slots: list[Slot] = []
    for burst in bursts(match.sightings):
        if slots and burst[0].time_s - slots[-1].time_s > MAX_GAP_S:
            yield Encounter(tuple(slots))
            slots = []
        slots.append(_slot(burst, slots[-1].time_s if slots else None))
    if slots:
        yield Encounter(tuple(slots))


def _slot(burst: Sequence[MatchedSighting], previous_s: float | None) -> Slot:
    gains = [heard.sighting.rssi_dbm - heard.metadata.tx_power_dbm for heard in burst]
    since_s = burst[0].sighting.since_last_scan_s
    if since_s is None:
        since_s = SLOT_WHEN_UNKNOWN_S if previous_s is None else burst[0].time_s - previous_s
    return Slot(
        time_s=burst[0].time_s,
        seconds=min(since_s, MAX_SLOT_S),
        attenuation_db=-power_mean_db(gains),
        samples=len(burst),
        spread_db=max(gains) - min(gains),
        confidence=min(heard.metadata.confidence for heard in burst),
    )
