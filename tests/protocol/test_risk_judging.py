import json
from datetime import date

import pytest
from pydantic import ValidationError

from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_protocol.matching import Match, SightingIndex, match
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.risk import Likelihood, RiskConfiguration, Rule, Verdict, judge
from forewarn_protocol.sightings import Sighting
from tests.protocol.hearings import MIDNIGHT, MIDNIGHT_S, TEK, hearing, only_match
from tests.protocol.test_risk_cwa import FORM

NOON_S = MIDNIGHT_S + 12 * 3600
DAY = date(2020, 5, 18)
AT_ARMS_LENGTH, ACROSS_THE_ROOM = -64, -95
MINUTES = RiskConfiguration()


def sitting(minutes: int, rssi_dbm: int, *, from_s: int = NOON_S, tek: TemporaryExposureKey = TEK) -> list[Sighting]:
    """Hear a neighbour in a scan every four minutes, under identifiers that change every twelve."""
    return [
        hearing(
            from_s + at + i,
            rssi_dbm,
            since_s=240,
            tek=tek,
            interval=(from_s + at) // 720 * 720 // 600,
            confidence=Confidence.HIGH,
        )
        for at in range(240, minutes * 60 + 1, 240)
        for i in range(4)
    ]


def verdicts(*matches: Match, configuration: RiskConfiguration = MINUTES) -> list[Verdict]:
    return judge(matches, configuration)


def only(found: Match, configuration: RiskConfiguration = MINUTES) -> Verdict:
    (verdict,) = judge([found], configuration)
    return verdict


def test_half_an_hour_at_arms_length_alerts() -> None:
    verdict = only(only_match(sitting(32, AT_ARMS_LENGTH)))
    assert verdict.alert
    assert (verdict.day, verdict.minutes, verdict.likelihood) == (DAY, 32, Likelihood.LIKELY)
    assert verdict.rule == "minutes"
    assert not verdict.weak


def test_the_same_half_hour_across_the_room_does_not() -> None:
    verdict = only(only_match(sitting(32, ACROSS_THE_ROOM)))
    assert not verdict.alert
    assert verdict.likelihood is Likelihood.UNLIKELY


def test_a_few_minutes_at_arms_length_do_not() -> None:
    assert not only(only_match(sitting(5, AT_ARMS_LENGTH))).alert


def test_minutes_near_several_cases_add_up() -> None:
    other = TemporaryExposureKey(b"\x07" * 16, MIDNIGHT)
    first, second = sitting(8, AT_ARMS_LENGTH), sitting(8, AT_ARMS_LENGTH, from_s=NOON_S + 7200, tek=other)
    both = list(match([DiagnosisKey(TEK), DiagnosisKey(other)], SightingIndex(first + second)))
    assert not any(only(found).alert for found in both)
    assert verdicts(*both)[0].alert


def test_two_cases_at_one_table_do_not_double_the_minutes() -> None:
    other = TemporaryExposureKey(b"\x07" * 16, MIDNIGHT)
    keys = [DiagnosisKey(TEK), DiagnosisKey(other)]
    for late_s, minutes in ((0, 32), (1, 32 + 1 / 60), (960, 48), (7200, 64)):
        second = sitting(32, AT_ARMS_LENGTH, from_s=NOON_S + late_s, tek=other)
        (verdict,) = verdicts(*match(keys, SightingIndex(sitting(32, AT_ARMS_LENGTH) + second)))
        assert verdict.minutes == pytest.approx(minutes)
        assert verdict.alert


def test_an_encounter_across_midnight_is_judged_on_both_days() -> None:
    end_s = MIDNIGHT_S + 24 * 3600
    (found,) = match(
        [DiagnosisKey(TEK)], SightingIndex(hearing(end_s + at, interval=end_s // 600 - 1) for at in (-120, 120))
    )
    assert [(verdict.day, verdict.minutes) for verdict in judge([found], MINUTES)] == [
        (date(2020, 5, 18), 3),
        (date(2020, 5, 19), 3),
    ]


def test_half_an_hour_at_a_table_does_not_drown_in_an_afternoon_in_the_same_room() -> None:
    found = only_match(sitting(32, AT_ARMS_LENGTH) + sitting(240, ACROSS_THE_ROOM, from_s=NOON_S + 3600))
    verdict = only(found)
    assert verdict.alert
    assert verdict.minutes == pytest.approx(32, abs=8)
    assert verdict.likelihood is Likelihood.LIKELY


@pytest.mark.parametrize(
    "key",
    [
        DiagnosisKey(TEK, ReportType.UNKNOWN),
        DiagnosisKey(TEK, ReportType.REVOKED),
        DiagnosisKey(TEK, ReportType.RECURSIVE),
        DiagnosisKey(TEK, days_since_onset=-14),
    ],
)
def test_what_does_not_count_gives_no_verdict(key: DiagnosisKey) -> None:
    assert not judge([only_match(sitting(32, AT_ARMS_LENGTH), key)], MINUTES)


def test_a_day_that_rests_on_one_identifier_is_marked_as_weak() -> None:
    found = only_match([hearing(NOON_S + at, AT_ARMS_LENGTH, interval=NOON_S // 600) for at in (0, 300, 600)])
    assert only(found).weak
    assert not judge([found], MINUTES, minimum_distinct_rpis=2)


def test_the_receivers_correction_counts() -> None:
    found = only_match(sitting(32, -86))
    assert judge([found], MINUTES, receiver_correction_db=16)[0].alert
    assert not judge([found], MINUTES)[0].alert


@pytest.mark.parametrize(("rssi_dbm", "alert"), [(-75, True), (-95, False)])
def test_the_buckets_of_gaen_can_decide(rssi_dbm: int, alert: bool) -> None:  # noqa: FBT001
    verdict = only(only_match(sitting(32, rssi_dbm)), RiskConfiguration(rule=Rule.GAEN))
    assert (verdict.alert, verdict.rule) == (alert, "gaen")
    assert verdict.likelihood in Likelihood, "the words about distance do not depend on the rule"


def test_the_german_rule_can_decide() -> None:
    german = RiskConfiguration.model_validate({"rule": "cwa", "cwa": FORM})
    assert only(only_match(sitting(32, AT_ARMS_LENGTH)), german).alert
    assert not only(only_match(sitting(32, -81)), german).alert


def test_the_german_rule_needs_its_parameters() -> None:
    with pytest.raises(ValidationError, match="parameters"):
        RiskConfiguration(rule=Rule.CWA)


def test_a_reason_says_what_was_reached_and_what_is_needed() -> None:
    reason = only(only_match(sitting(32, AT_ARMS_LENGTH))).reason
    assert "expected minutes within two metres" in reason
    assert "needed" in reason


@pytest.mark.parametrize("configuration", [MINUTES, RiskConfiguration.model_validate({"rule": "cwa", "cwa": FORM})])
def test_a_configuration_survives_json(configuration: RiskConfiguration) -> None:
    text = configuration.model_dump_json(by_alias=True, exclude_none=True)
    assert RiskConfiguration.model_validate_json(text) == configuration
    assert RiskConfiguration.model_validate({**json.loads(text), "from the future": 1}) == configuration
