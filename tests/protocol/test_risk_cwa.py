from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from forewarn_protocol.keys import ReportType
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.risk.cwa import CwaConfiguration, DayRisk, Range, RiskLevel, day_risks, decide
from forewarn_protocol.windows import ExposureWindow, Infectiousness, ScanInstance

DAY = date(2021, 1, 1)
# Round numbers of our own, in the German form; the German ones are tested in tests/client with the German cases.
FORM: dict[str, object] = {
    "minutesAtAttenuationFilters": [
        {
            "attenuationRange": {"min": 0, "max": 60},
            "dropIfMinutesInRange": {"min": 0, "max": 2, "maxExclusive": True},
        }
    ],
    "trlFilters": [{"dropIfTrlInRange": {"min": 0, "max": 2}}],
    "minutesAtAttenuationWeights": [
        {"attenuationRange": {"min": 0, "max": 50, "maxExclusive": True}, "weight": 1},
        {"attenuationRange": {"min": 50, "max": 60}, "weight": 0.5},
    ],
    "normalizedTimePerEWToRiskLevelMapping": [
        {"normalizedTimeRange": {"min": 1, "max": 10, "maxExclusive": True}, "riskLevel": 1},
        {"normalizedTimeRange": {"min": 10, "max": 9999}, "riskLevel": 2},
    ],
    "normalizedTimePerDayToRiskLevelMapping": [
        {"normalizedTimeRange": {"min": 5, "max": 10, "maxExclusive": True}, "riskLevel": 1},
        {"normalizedTimeRange": {"min": 10, "max": 9999}, "riskLevel": 2},
    ],
    "trlEncoding": {
        "infectiousnessOffsetStandard": 1,
        "infectiousnessOffsetHigh": 2,
        "reportTypeOffsetRecursive": 0,
        "reportTypeOffsetSelfReport": 2,
        "reportTypeOffsetConfirmedClinicalDiagnosis": 4,
        "reportTypeOffsetConfirmedTest": 6,
    },
    "transmissionRiskValueMapping": [
        {"transmissionRiskLevel": 7, "transmissionRiskValue": 1},
        {"transmissionRiskLevel": 8, "transmissionRiskValue": 2},
    ],
}
CONFIGURATION = CwaConfiguration.model_validate(FORM)


def window(
    minutes: float,
    minimum_db: int = 40,
    *,
    report_type: ReportType = ReportType.CONFIRMED_TEST,
    infectiousness: Infectiousness = Infectiousness.STANDARD,
    confidence: Confidence = Confidence.NONE,
    day: date = DAY,
) -> ExposureWindow:
    scan = ScanInstance(minimum_db + 9, minimum_db, round(minutes * 60))
    return ExposureWindow(day, (scan,), report_type, infectiousness, confidence)


def day_of(*windows: ExposureWindow) -> DayRisk | None:
    risks = day_risks(windows, CONFIGURATION)
    assert len(risks) <= 1
    return risks[0] if risks else None


def minutes_of(*windows: ExposureWindow) -> float | None:
    risk = day_of(*windows)
    return risk and risk.normalized_minutes


@pytest.mark.parametrize(
    ("minutes", "level"), [(4.9, None), (5, RiskLevel.LOW), (9.9, RiskLevel.LOW), (10, RiskLevel.HIGH)]
)
def test_a_days_level_follows_from_its_normalised_minutes(minutes: float, level: RiskLevel | None) -> None:
    risk = day_of(window(minutes))
    assert (risk and risk.level) == level


def test_a_scan_weighs_by_its_smallest_attenuation() -> None:
    assert minutes_of(window(12, 49)) == 12
    assert minutes_of(window(12, 50)) == 6
    assert minutes_of(window(12, 60), window(12, 40)) == 18
    assert day_of(window(12, 61)) is None


def test_high_infectiousness_raises_the_transmission_risk() -> None:
    assert minutes_of(window(3, infectiousness=Infectiousness.HIGH)) == 6


def test_a_level_without_a_value_counts_nothing() -> None:
    assert day_of(window(60, report_type=ReportType.SELF_REPORT)) is None


@pytest.mark.parametrize("report_type", [ReportType.RECURSIVE, ReportType.UNKNOWN, ReportType.REVOKED])
def test_filtered_and_never_shown_reports_are_dropped(report_type: ReportType) -> None:
    assert day_of(window(60, report_type=report_type)) is None


def test_a_window_of_too_few_minutes_at_an_attenuation_is_dropped() -> None:
    assert minutes_of(window(1.9), window(6)) == 6
    assert minutes_of(window(2), window(6)) == 8


def test_people_are_counted_by_transmission_risk_and_confidence() -> None:
    risk = day_of(
        window(3),
        window(3),
        window(3, confidence=Confidence.HIGH),
        window(2, infectiousness=Infectiousness.HIGH),
        window(12),
    )
    assert risk is not None
    assert risk.distinct_encounters == {RiskLevel.LOW: 3, RiskLevel.HIGH: 1}


def test_days_come_in_order_and_each_by_itself() -> None:
    risks = day_risks([window(12, day=DAY + timedelta(1)), window(6), window(4, day=DAY - timedelta(1))], CONFIGURATION)
    assert [(risk.day, risk.level) for risk in risks] == [(DAY, RiskLevel.LOW), (DAY + timedelta(1), RiskLevel.HIGH)]


def test_only_a_high_day_alerts() -> None:
    assert decide([window(12)], CONFIGURATION)[DAY].alert
    assert not decide([window(6)], CONFIGURATION)[DAY].alert


def test_a_range_holds_its_ends_unless_they_are_exclusive() -> None:
    assert 1 in Range(min=1, max=2)
    assert 2 in Range(min=1, max=2)
    assert 1 not in Range(min=1, max=2, min_exclusive=True)
    assert 2 not in Range(min=1, max=2, max_exclusive=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trlEncoding": None},
        {"minutesAtAttenuationWeights": [{"attenuationRange": {"min": 0, "max": 50}, "weight": float("nan")}]},
        {"normalizedTimePerDayToRiskLevelMapping": [{"normalizedTimeRange": {"min": 5, "max": 10}, "riskLevel": 3}]},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CwaConfiguration.model_validate({**FORM, **wrong})
