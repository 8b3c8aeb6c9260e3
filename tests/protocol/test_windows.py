from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forewarn_protocol.keys import DiagnosisKey, ReportType
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.sightings import Sighting
from forewarn_protocol.windows import ExposureWindow, Infectiousness, KeyMapping, ScanInstance, exposure_windows
from tests.protocol.hearings import MIDNIGHT_S, TEK, hearing, only_match

NOON_S = MIDNIGHT_S + 12 * 3600


def windows_of(sightings: list[Sighting], correction_db: float = 0) -> list[ExposureWindow]:
    return list(exposure_windows(only_match(sightings), KeyMapping(), correction_db))


def scans_of(*sightings: Sighting) -> tuple[ScanInstance, ...]:
    (window,) = windows_of(list(sightings))
    return window.scan_instances


def test_a_window_starts_at_its_first_sighting_and_holds_what_comes_less_than_half_an_hour_later() -> None:
    first_s = NOON_S + 123.5
    windows = windows_of([hearing(first_s + after) for after in (0, 900, 1799.75, 1800, 3599.5, 3600)])
    assert [len(window.scan_instances) for window in windows] == [3, 2, 1]


def test_a_gap_starts_the_next_window_at_the_sighting_after_it() -> None:
    windows = windows_of([hearing(NOON_S + after) for after in (0, 4000, 5799, 5800)])
    assert [len(window.scan_instances) for window in windows] == [1, 2, 1]


def test_sightings_at_most_25_and_a_half_seconds_from_the_previous_one_are_one_scan() -> None:
    assert len(scans_of(*(hearing(NOON_S + after) for after in (0, 25.5, 51)))) == 1
    assert len(scans_of(*(hearing(NOON_S + after) for after in (0, 25.75, 51)))) == 2


def test_a_scan_is_cut_where_the_window_ends() -> None:
    windows = windows_of([hearing(NOON_S + after) for after in (0, 1799, 1801)])
    assert [len(window.scan_instances) for window in windows] == [2, 1]


@pytest.mark.parametrize(
    ("rssi", "typical"), [((-60, -61), 41), ((-61, -62), 42), ((-60, -60, -61), 40), ((-60, -61, -61), 41)]
)
def test_the_typical_attenuation_is_the_mean_with_halves_up(rssi: tuple[int, ...], typical: int) -> None:
    (scan,) = scans_of(*(hearing(NOON_S + at, level) for at, level in enumerate(rssi)))
    assert scan.typical_db == typical
    assert scan.minimum_db == 40 if -60 in rssi else 41


@pytest.mark.parametrize(
    ("since_s", "seconds"),
    [(None, 120), (0, 0), (59.9, 0), (60, 60), (179, 120), (299.9, 240), (300, 300), (420, 300), (1e300, 300)],
)
def test_the_seconds_since_the_last_scan_are_whole_minutes_up_to_five(since_s: float | None, seconds: int) -> None:
    (scan,) = scans_of(hearing(NOON_S, since_s=since_s))
    assert scan.seconds == seconds


def test_a_scan_stands_for_the_time_before_its_first_sighting() -> None:
    (scan,) = scans_of(hearing(NOON_S, since_s=300), hearing(NOON_S + 2, since_s=60))
    assert scan.seconds == 300


def test_a_window_weighs_its_scans_by_their_seconds() -> None:
    (window,) = windows_of([hearing(NOON_S, -60, since_s=60), hearing(NOON_S + 300, -70, since_s=180)])
    assert window.typical_db == (40 * 60 + 50 * 180) / 240
    assert (window.minimum_db, window.seconds) == (40, 240)


def test_scans_that_stand_for_no_time_have_the_plain_mean() -> None:
    (window,) = windows_of([hearing(NOON_S, -60, since_s=0), hearing(NOON_S + 300, -71, since_s=30)])
    assert (window.typical_db, window.seconds) == (45.5, 0)


def test_the_receivers_correction_lowers_every_attenuation() -> None:
    (window,) = windows_of([hearing(NOON_S, -60)], correction_db=7)
    assert (window.typical_db, window.minimum_db) == (33, 33)


def test_a_windows_day_is_that_of_its_first_sighting_in_utc() -> None:
    end_s = MIDNIGHT_S + 24 * 3600
    interval = end_s // 600 - 1
    across = windows_of([hearing(end_s - 5, interval=interval), hearing(end_s + 5, interval=interval)])
    assert [window.day for window in across] == [date(2020, 5, 18)]
    after = windows_of([hearing(end_s + 5, interval=interval)])
    assert [window.day for window in after] == [date(2020, 5, 19)]


def test_a_window_carries_the_senders_confidence() -> None:
    (window,) = windows_of([hearing(NOON_S, confidence=Confidence.MEDIUM)])
    assert window.confidence is Confidence.MEDIUM


def read(key: DiagnosisKey, mapping: KeyMapping | None = None) -> tuple[ReportType, Infectiousness]:
    (window,) = exposure_windows(only_match([hearing(NOON_S)], key), mapping or KeyMapping())
    return window.report_type, window.infectiousness


def test_a_missing_report_type_or_onset_is_not_an_unknown_one() -> None:
    assert read(DiagnosisKey(TEK)) == (ReportType.CONFIRMED_TEST, Infectiousness.STANDARD)
    assert read(DiagnosisKey(TEK, ReportType.UNKNOWN))[0] is ReportType.UNKNOWN
    assert read(DiagnosisKey(TEK, ReportType.REVOKED))[0] is ReportType.REVOKED


def test_a_region_says_what_missing_means() -> None:
    mapping = KeyMapping(
        report_type_when_missing=ReportType.SELF_REPORT, infectiousness_when_missing=Infectiousness.HIGH
    )
    assert read(DiagnosisKey(TEK), mapping) == (ReportType.SELF_REPORT, Infectiousness.HIGH)


@pytest.mark.parametrize(
    ("days", "infectiousness"),
    [
        (-14, Infectiousness.NONE),
        (-3, Infectiousness.NONE),
        (-2, Infectiousness.HIGH),
        (0, Infectiousness.HIGH),
        (7, Infectiousness.STANDARD),
        (14, Infectiousness.NONE),
        (15, Infectiousness.STANDARD),  # no number of days that the protocol knows: as good as missing
    ],
)
def test_infectiousness_follows_from_the_days_since_onset(days: int, infectiousness: Infectiousness) -> None:
    assert read(DiagnosisKey(TEK, days_since_onset=days))[1] is infectiousness


def test_a_mapping_knows_no_day_beyond_a_fortnight() -> None:
    with pytest.raises(ValidationError):
        KeyMapping(infectiousness_by_onset_day={15: Infectiousness.HIGH})


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(-100, -30)), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_sightings_does_not_matter(drawn: list[tuple[int, int]], random: Random) -> None:
    sightings = [hearing(NOON_S + after, level) for after, level in drawn]
    assert windows_of(random.sample(sightings, len(sightings))) == windows_of(sightings)
