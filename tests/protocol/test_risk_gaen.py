from datetime import date

import pytest
from pydantic import ValidationError

from forewarn_protocol.keys import ReportType
from forewarn_protocol.risk.gaen import DailySummary, GaenConfiguration, daily_summaries, decide
from forewarn_protocol.windows import ExposureWindow, Infectiousness, ScanInstance

MONDAY, TUESDAY = date(2020, 5, 18), date(2020, 5, 19)
DEFAULT = GaenConfiguration()


def window(
    *scans: tuple[int, int],
    day: date = MONDAY,
    report_type: ReportType = ReportType.CONFIRMED_TEST,
    infectiousness: Infectiousness = Infectiousness.STANDARD,
) -> ExposureWindow:
    instances = tuple(ScanInstance(typical_db, typical_db, seconds) for typical_db, seconds in scans)
    return ExposureWindow(day, instances, report_type, infectiousness)


def score(*windows: ExposureWindow, configuration: GaenConfiguration = DEFAULT) -> list[DailySummary]:
    return daily_summaries(windows, configuration)


@pytest.mark.parametrize(
    ("typical_db", "weighted_s"),
    [(0, 450), (55, 450), (56, 300), (63, 300), (64, 150), (73, 150), (74, 0), (255, 0)],
)
def test_a_bucket_holds_its_threshold(typical_db: int, weighted_s: float) -> None:
    assert score(window((typical_db, 300))) == [DailySummary(MONDAY, weighted_s, weighted_s)]


def test_each_scan_falls_into_its_own_bucket() -> None:
    assert score(window((50, 120), (60, 180), (70, 240), (80, 300))) == [DailySummary(MONDAY, 480, 480)]


@pytest.mark.parametrize(
    ("report_type", "weight"),
    [
        (ReportType.CONFIRMED_TEST, 1),
        (ReportType.CONFIRMED_CLINICAL_DIAGNOSIS, 1),
        (ReportType.SELF_REPORT, 0.5),
        (ReportType.RECURSIVE, 0),
    ],
)
def test_a_score_is_weighted_by_the_report_type(report_type: ReportType, weight: float) -> None:
    assert score(window((60, 300), report_type=report_type)) == [DailySummary(MONDAY, 300 * weight, 300 * weight)]


@pytest.mark.parametrize("report_type", [ReportType.UNKNOWN, ReportType.REVOKED])
def test_unknown_and_revoked_reports_are_never_shown(report_type: ReportType) -> None:
    generous = GaenConfiguration(report_type_weights={report_type: 2.5})
    assert not score(window((40, 300), report_type=report_type), configuration=generous)


@pytest.mark.parametrize(
    ("infectiousness", "weight"), [(Infectiousness.NONE, 0), (Infectiousness.STANDARD, 1), (Infectiousness.HIGH, 1)]
)
def test_a_score_is_weighted_by_infectiousness(infectiousness: Infectiousness, weight: float) -> None:
    assert score(window((60, 300), infectiousness=infectiousness))[0].sum_s == 300 * weight


def test_a_day_has_the_sum_and_the_maximum_of_its_windows() -> None:
    summaries = score(
        window((60, 300), day=TUESDAY), window((60, 60)), window((60, 240), (50, 120)), window((70, 120), day=TUESDAY)
    )
    assert summaries == [DailySummary(MONDAY, 480, 420), DailySummary(TUESDAY, 360, 300)]


def test_windows_under_the_minimum_score_are_ignored() -> None:
    least = GaenConfiguration(minimum_window_score=300)
    assert score(window((60, 300)), window((60, 299)), configuration=least) == [DailySummary(MONDAY, 300, 300)]
    assert not score(window((60, 299)), configuration=least)


def test_an_alert_comes_at_a_quarter_of_an_hour() -> None:
    assert decide([window((60, 600)), window((60, 300))], DEFAULT)[MONDAY].alert
    assert not decide([window((60, 600)), window((60, 299))], DEFAULT)[MONDAY].alert


@pytest.mark.parametrize(
    "wrong",
    [
        {"near_db": 54},
        {"medium_db": 256},
        {"immediate_db": -1},
        {"near_weight": 2.6},
        {"other_weight": -0.1},
        {"near_weight": float("nan")},
        {"minimum_window_score": float("inf")},
        {"report_type_weights": {1: 3}},
    ],
)
def test_a_configuration_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GaenConfiguration.model_validate(wrong)
