"""Matches → one verdict a day: the configured rule decides about the alert, the encounters give the words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from forewarn_protocol.encounters import Judged, Slot, encounters
from forewarn_protocol.intervals import day_at
from forewarn_protocol.keys import DiagnosisKey
from forewarn_protocol.matching import Match
from forewarn_protocol.risk import cwa, gaen, minutes
from forewarn_protocol.risk.configuration import RiskConfiguration, Rule
from forewarn_protocol.risk.verdict import Decision, Likelihood, Verdict
from forewarn_protocol.windows import ExposureWindow, Infectiousness, exposure_windows

LIKELY: Final = 2 / 3
POSSIBLE: Final = 1 / 3

_NOTHING: Final = Decision(alert=False, reason="no window of this day counts")


def judge(
    matches: Iterable[Match],
    configuration: RiskConfiguration,
    *,
    receiver_correction_db: float = 0,
    minimum_distinct_rpis: int = 1,
) -> list[Verdict]:
    """Return a verdict for each UTC day with a match that counts, in order of days.

    Unknown and revoked keys count for nothing, nor do days on which the case was not infectious. Of a match that has
    been judged, its sightings are not held: whoever yields them one by one needs memory for one.
    """
    slots: dict[date, list[Judged]] = {}
    identifiers: dict[date, set[bytes]] = {}
    windows: list[ExposureWindow] = []
    for match in matches:
        if match.distinct_rpis < minimum_distinct_rpis or not counts(match.key, configuration):
            continue
        for encounter in encounters(match):
            for judged in encounter.judged(configuration.minutes.proximity, receiver_correction_db):
                slots.setdefault(day_at(judged.slot.time_s), []).append(judged)
        for heard in match.sightings:
            identifiers.setdefault(day_at(heard.time_s), set()).add(heard.sighting.payload.rpi)
        if configuration.rule is not Rule.MINUTES:
            windows += exposure_windows(match, configuration.mapping, receiver_correction_db)
    decisions = _decisions(windows, slots, configuration)
    return [
        _verdict(day, slots[day], decisions.get(day, _NOTHING), configuration.rule, weak=len(identifiers[day]) == 1)
        for day in sorted(slots)
    ]


def counts(key: DiagnosisKey, configuration: RiskConfiguration) -> bool:
    """Tell whether a published key counts at all: its report type does, and its case was infectious on its day."""
    report_type = configuration.mapping.report_type(key)
    if configuration.rule is Rule.MINUTES and report_type not in configuration.minutes.report_types:
        return False
    infectious = configuration.mapping.infectiousness(key) is not Infectiousness.NONE
    return infectious and report_type not in gaen.NEVER_SHOWN


def _decisions(
    windows: Sequence[ExposureWindow], slots: Mapping[date, Sequence[Judged]], configuration: RiskConfiguration
) -> dict[date, Decision]:
    if configuration.rule is Rule.MINUTES:
        return minutes.decide(slots, configuration.minutes)
    if configuration.rule is Rule.CWA and configuration.cwa is not None:
        return cwa.decide(windows, configuration.cwa)
    return gaen.decide(windows, configuration.gaen)


def _verdict(day: date, slots: Sequence[Judged], decision: Decision, rule: Rule, *, weak: bool) -> Verdict:
    # The sentence speaks of the part of the day that may have been near: half an hour at a table must not drown in an
    # afternoon at the far end of the same room.
    near = [judged for judged in slots if judged.probability >= POSSIBLE]
    likelihood = Likelihood.UNLIKELY
    if near:
        seconds = sum(judged.slot.seconds for judged in near)
        probability = (
            sum(judged.probability * judged.slot.seconds for judged in near) / seconds
            if seconds
            else max(judged.probability for judged in near)
        )
        likelihood = Likelihood.LIKELY if probability >= LIKELY else Likelihood.POSSIBLE
    return Verdict(
        day=day,
        alert=decision.alert,
        minutes=_covered_s(judged.slot for judged in near or slots) / 60,
        likelihood=likelihood,
        rule=rule.value,
        reason=decision.reason,
        weak=weak,
    )


def _covered_s(slots: Iterable[Slot]) -> float:
    # Two cases at one table are one hour of a person's day: added up they would be untrue, and would tell that there
    # were two. A slot stands for the time before its burst.
    covered_s, end_s = 0.0, float("-inf")
    for slot in sorted(slots, key=lambda slot: slot.time_s - slot.seconds):
        covered_s += max(0.0, slot.time_s - max(end_s, slot.time_s - slot.seconds))
        end_s = max(end_s, slot.time_s)
    return covered_s
