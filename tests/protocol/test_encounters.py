from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.encounters import Encounter, encounters
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.proximity import ProximityModel
from forewarn_protocol.sightings import Sighting
from tests.protocol.hearings import MIDNIGHT_S, hearing, only_match

NOON_S = MIDNIGHT_S + 12 * 3600
MODEL = ProximityModel()


def burst(at_s: float, rssi_dbm: int, since_s: float | None = 240, count: int = 3) -> list[Sighting]:
    return [hearing(NOON_S + at_s + i, rssi_dbm, since_s=since_s) for i in range(count)]


def meeting(*levels: int, gap_s: int = 240) -> list[Sighting]:
    return [heard for at, level in enumerate(levels) for heard in burst(at * gap_s, level)]


def one(sightings: list[Sighting]) -> Encounter:
    (encounter,) = encounters(only_match(sightings))
    return encounter


def test_bursts_without_a_long_gap_are_one_encounter() -> None:
    assert len(one(burst(0, -60) + burst(600, -60)).slots) == 2
    apart = list(encounters(only_match(burst(0, -60) + burst(603, -60))))
    assert [encounter.start_s for encounter in apart] == [NOON_S, NOON_S + 603]


@pytest.mark.parametrize(
    ("since_s", "seconds"), [(None, [120, 200]), (0, [0, 0]), (180.5, [180.5, 180.5]), (900, [300, 300])]
)
def test_a_slot_stands_for_the_time_before_it(since_s: float | None, seconds: list[float]) -> None:
    encounter = one(burst(0, -60, since_s) + burst(200, -60, since_s))
    assert [slot.seconds for slot in encounter.slots] == seconds
    assert encounter.seconds == sum(seconds)


def test_a_slot_keeps_mean_count_and_spread_for_a_later_recalibration() -> None:
    (slot,) = one([hearing(NOON_S, -60), hearing(NOON_S + 1, -70)]).slots
    assert slot.attenuation_db == pytest.approx(42.6, abs=0.05), "the mean is taken over powers"
    assert (slot.samples, slot.spread_db, slot.confidence) == (2, 10, Confidence.HIGH)


def test_the_evidence_of_the_whole_encounter_sharpens_each_slot() -> None:
    alone = one(meeting(-60)).judged(MODEL)[0]
    among = one(meeting(-60, -60, -60, -60)).judged(MODEL)
    assert all(judged.llr > alone.llr > 0 for judged in among)


def test_neighbours_overrule_one_deep_fade() -> None:
    faded = one(meeting(-55, -55, -90, -55, -55)).judged(MODEL)[2]
    alone = one(meeting(-90)).judged(MODEL)[0]
    assert alone.probability < 0.25
    assert faded.probability > 0.4


def test_evidence_further_off_than_the_smoothing_does_not_count() -> None:
    levels = (-90, -50, -50, -50)
    near, far = (one(meeting(*levels, gap_s=gap_s)).judged(MODEL)[0].llr for gap_s in (240, 460))
    assert far == one(meeting(-90)).judged(MODEL)[0].llr
    assert near > far


def test_expected_minutes_are_the_slots_weighted_with_their_probability() -> None:
    encounter = one(meeting(-60, -70, -80))
    judged = encounter.judged(MODEL)
    assert encounter.expected_minutes(MODEL) == pytest.approx(sum(4 * each.probability for each in judged))
    assert 0 < encounter.expected_minutes(MODEL) < 12


def test_the_receivers_correction_moves_the_loss() -> None:
    encounter = one(meeting(-75))
    assert encounter.judged(MODEL, 5)[0].llr > encounter.judged(MODEL)[0].llr
    assert encounter.judged(MODEL, 5)[0].llr == one(meeting(-70)).judged(MODEL)[0].llr


@given(st.lists(st.tuples(st.integers(0, 7000), st.integers(-110, 10)), min_size=1, max_size=40), st.integers(1, 10))
def test_more_loss_is_never_more_minutes(drawn: list[tuple[int, int]], more_db: int) -> None:
    louder = only_match(hearing(NOON_S + at, level) for at, level in drawn)
    quieter = only_match(hearing(NOON_S + at, level - more_db) for at, level in drawn)
    for loud, quiet in zip(encounters(louder), encounters(quieter), strict=True):
        assert quiet.expected_minutes(MODEL) <= loud.expected_minutes(MODEL)


@given(
    st.lists(st.tuples(st.integers(0, 7000), st.integers(-127, 20), st.none() | st.floats(0, 1e6)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_whatever_was_heard_in_whatever_order_minutes_are_defined(
    drawn: list[tuple[int, int, float | None]], random: Random
) -> None:
    sightings = [hearing(NOON_S + at, level, since_s=since_s) for at, level, since_s in drawn]
    shuffled = random.sample(sightings, len(sightings))
    found = list(encounters(only_match(sightings)))
    assert list(encounters(only_match(shuffled))) == found
    for encounter in found:
        assert 0 <= encounter.expected_minutes(MODEL) <= encounter.seconds / 60
