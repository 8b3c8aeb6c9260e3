from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_protocol.matching import Anomaly, Match, SightingIndex, match
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.sightings import Sighting
from tests.protocol.hearings import MIDNIGHT, MIDNIGHT_S, TEK, hearing, only_match, times

KEY = DiagnosisKey(TEK)
STRANGER = TemporaryExposureKey(b"\x07" * 16, MIDNIGHT)
NOON = MIDNIGHT + 72
NOON_S = NOON * 600
HOUR_S = 3600


def matches(*sightings: Sighting, **rules: int) -> list[Match]:
    return list(match([KEY], SightingIndex(sightings), **rules))


def test_a_key_that_was_heard_is_found_among_strangers() -> None:
    heard, noise = hearing(NOON_S), hearing(NOON_S, tek=STRANGER)
    (found,) = match([DiagnosisKey(TemporaryExposureKey(b"\x09" * 16, MIDNIGHT)), KEY], SightingIndex([noise, heard]))
    assert found.key is KEY
    assert [each.sighting for each in found.sightings] == [heard]


@pytest.mark.parametrize("offset", [0, 1, 71, 142, 143])
def test_every_interval_of_the_period_is_looked_up(offset: int) -> None:
    assert matches(hearing((MIDNIGHT + offset) * 600))


def test_an_interval_outside_a_period_cut_short_is_not_looked_up() -> None:
    cut = DiagnosisKey(TEK.cut_short(NOON))
    assert list(match([cut], SightingIndex([hearing(NOON_S)])))
    assert not list(match([cut], SightingIndex([hearing(NOON_S + 600)])))


@pytest.mark.parametrize(("intervals", "found"), [(-13, False), (-12, True), (12, True), (13, False), (18, False)])
def test_a_sighting_matches_within_two_hours_of_its_own_interval(intervals: int, found: bool) -> None:  # noqa: FBT001
    # The last second of the sighting's interval: the distance is counted in intervals, not in seconds.
    sighting = hearing((NOON + intervals) * 600 + 599, interval=NOON)
    assert bool(matches(sighting)) is found


def test_an_rpi_heard_three_hours_late_is_not_a_match() -> None:
    late = hearing(NOON_S + 3 * HOUR_S, interval=NOON)
    assert not matches(late)
    assert matches(late, tolerance_intervals=18), "positive control: with a wide tolerance it is one"


def test_a_sighting_just_across_midnight_is_found() -> None:
    assert matches(hearing(MIDNIGHT_S + 24 * HOUR_S + 60, interval=MIDNIGHT + 143))
    assert matches(hearing(MIDNIGHT_S - 60, interval=MIDNIGHT))


def test_a_key_whose_start_is_not_midnight_is_found() -> None:
    tek = TemporaryExposureKey(b"\x01" * 16, Interval(MIDNIGHT + 50))
    assert list(match([DiagnosisKey(tek)], SightingIndex([hearing((MIDNIGHT + 193) * 600, tek=tek)])))
    assert not list(match([DiagnosisKey(tek)], SightingIndex([hearing((MIDNIGHT + 49) * 600, tek=tek)])))


def test_an_identifier_is_believed_for_twenty_minutes_after_its_first_sighting() -> None:
    found = only_match(hearing(NOON_S + after, interval=NOON) for after in (0, 600, 1200, 1200.5, 3600))
    assert times(found) == [12 * HOUR_S, 12 * HOUR_S + 600, 12 * HOUR_S + 1200]


def test_the_replay_guard_holds_for_each_identifier_by_itself() -> None:
    found = only_match([hearing(NOON_S), hearing(NOON_S + 1000), hearing(NOON_S + 2000), hearing(NOON_S + 2600)])
    assert len(found.sightings) == 4


@pytest.mark.parametrize(("tx_dbm", "found"), [(-51, False), (-50, True), (20, True), (21, False), (127, False)])
def test_an_implausible_transmit_power_is_dropped(tx_dbm: int, found: bool) -> None:  # noqa: FBT001
    assert bool(matches(hearing(NOON_S, tx_dbm=tx_dbm))) is found


def test_what_is_dropped_first_does_not_start_the_replay_guard() -> None:
    too_early = hearing(NOON_S - 3 * HOUR_S, interval=NOON)
    implausible = hearing(NOON_S - 1500, interval=NOON, tx_dbm=100)
    found = only_match([too_early, implausible, hearing(NOON_S), hearing(NOON_S + 1200, interval=NOON)])
    assert times(found) == [12 * HOUR_S, 12 * HOUR_S + 1200]


def test_anomalies_are_counted() -> None:
    counts = Counter[Anomaly]()
    sightings = [
        hearing(NOON_S - 3 * HOUR_S, interval=NOON),
        hearing(NOON_S, tx_dbm=100),
        hearing(NOON_S),
        hearing(NOON_S + 1201, interval=NOON),
        hearing(NOON_S + 1300, interval=NOON),
    ]
    assert list(match([KEY], SightingIndex(sightings), anomalies=counts))
    assert counts == {Anomaly.FAR_IN_TIME: 1, Anomaly.IMPLAUSIBLE_POWER: 1, Anomaly.REPLAYED: 2}


def test_a_power_far_above_its_class_is_capped_and_counted() -> None:
    counts = Counter[Anomaly]()
    index = SightingIndex(
        [
            hearing(NOON_S, tx_dbm=-4),
            hearing(NOON_S + 600, tx_dbm=-5),
            hearing(NOON_S + 1200, tx_dbm=10, confidence=Confidence.LOW),
        ]
    )
    (found,) = match([KEY], index, median_tx_dbm={Confidence.HIGH: -20}, anomalies=counts)
    assert [heard.metadata.tx_power_dbm for heard in found.sightings] == [-5, -5, 10]
    assert counts == {Anomaly.POWER_CAPPED: 1}
    (uncapped,) = match([KEY], index)
    assert [heard.metadata.tx_power_dbm for heard in uncapped.sightings] == [-4, -5, 10]


def test_attenuation_is_never_negative_and_includes_the_receivers_correction() -> None:
    (heard,) = only_match([hearing(NOON_S, rssi_dbm=-60, tx_dbm=-20)]).sightings
    assert heard.attenuation_db() == 40
    assert heard.attenuation_db(receiver_correction_db=3) == 37
    assert heard.attenuation_db(receiver_correction_db=50) == 0


def test_a_key_that_comes_twice_is_one_match_with_the_later_report() -> None:
    likely = DiagnosisKey(TEK, ReportType.CONFIRMED_CLINICAL_DIAGNOSIS)
    revised = DiagnosisKey(TEK, ReportType.REVOKED)
    (found,) = match([likely, KEY, revised], SightingIndex([hearing(NOON_S), hearing(NOON_S + 10)]))
    assert found.key is revised
    assert len(found.sightings) == 2


def test_no_secret_stands_in_the_repr_of_a_match() -> None:
    found = only_match([hearing(NOON_S)])
    payload = found.sightings[0].sighting.payload
    for secret in (TEK.key, payload.rpi, payload.aem):
        assert secret.hex() not in repr(found)
        assert repr(secret) not in repr(found)


hearings = st.builds(
    hearing,
    st.integers(MIDNIGHT_S - 3 * HOUR_S, MIDNIGHT_S + 27 * HOUR_S),
    st.integers(-100, -30),
    st.none() | st.integers(0, 400),
    st.sampled_from([TEK, STRANGER]),
    st.integers(MIDNIGHT, MIDNIGHT + 143),
    st.integers(-70, 40),
    st.sampled_from(Confidence),
)


@settings(deadline=None)
@given(st.lists(hearings, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_sightings_does_not_matter(sightings: list[Sighting], random: Random) -> None:
    shuffled = random.sample(sightings, len(sightings))
    keys = [KEY, DiagnosisKey(STRANGER)]
    assert list(match(keys, SightingIndex(shuffled))) == list(match(keys, SightingIndex(sightings)))
