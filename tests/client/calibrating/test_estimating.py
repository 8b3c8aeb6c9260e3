"""The arithmetic of a bench."""

from math import log10

import pytest

from forewarn_client.calibrating.estimating import (
    Estimate,
    Heard,
    Known,
    Turned,
    check_orientation,
    estimate,
    free_space_loss_db,
)
from forewarn_protocol.errors import BadInput
from forewarn_protocol.metadata import Confidence

KNOWN = Known(tx_power_dbm=-20, correction_db=3)


def heard(dbm: float, deviation_db: float = 1.0, samples: int = 40) -> Heard:
    return Heard(dbm, deviation_db, samples)


def of(*medians_dbm: float, distance_m: float = 1.0) -> Estimate:
    return estimate([Turned(heard(dbm), heard(dbm)) for dbm in medians_dbm], KNOWN, distance_m)


def test_a_free_metre_costs_40_db_and_each_doubling_6_more() -> None:
    assert free_space_loss_db(1) == pytest.approx(40.2, abs=0.01)
    assert free_space_loss_db(2) - free_space_loss_db(1) == pytest.approx(6.02, abs=0.01)


def test_power_is_what_was_heard_there_and_correction_what_is_lacking_here() -> None:
    here, there = heard(-62), heard(-70)
    found = estimate([Turned(here, there)] * 4, KNOWN, 1.0)
    assert found.tx_power_dbm == pytest.approx(-70 + 3 + 40.2, abs=0.01)
    assert found.correction_db == pytest.approx(-20 - 40.2 + 62, abs=0.01)


def test_a_second_metre_that_nobody_says_is_six_db_of_error_in_opposite_directions() -> None:
    near, far = of(*[-60] * 4), of(*[-60] * 4, distance_m=2)
    assert far.tx_power_dbm - near.tx_power_dbm == pytest.approx(6.02, abs=0.01)
    assert far.correction_db - near.correction_db == pytest.approx(-6.02, abs=0.01)


def test_orientations_are_joined_by_their_powers_so_that_a_null_weighs_little() -> None:
    loss_db = of(*[-60] * 4).tx_power_dbm - of(-60, -60, -60, -75).tx_power_dbm
    assert loss_db == pytest.approx(-10 * log10((3 + 10**-1.5) / 4), abs=0.01)


def test_the_more_alike_the_orientations_and_the_more_of_them_the_higher_the_confidence() -> None:
    assert of(-60, -60, -60, -60).confidence is Confidence.HIGH
    assert of(-60, -60).confidence is Confidence.MEDIUM
    assert of(-60, -62, -59, -61).confidence is Confidence.HIGH
    assert of(-56, -64, -58, -62).confidence is Confidence.MEDIUM
    assert of(-50, -70, -50, -70).confidence is Confidence.LOW
    assert of(-54, -66, -54, -66).tx_error_db > of(*[-54, -66] * 4).tx_error_db


def test_orientations_too_unlike_are_refused() -> None:
    with pytest.raises(BadInput, match=r"off by 10\.1 dB, at most 7 says something"):
        of(-50, -70)


def test_the_median_of_an_orientation_forgets_who_walked_by() -> None:
    quiet = Heard.of([-60] * 30)
    assert Heard.of([-60] * 30 + [-90] * 3).median_dbm == pytest.approx(quiet.median_dbm, abs=0.1)


def test_the_median_lies_between_whole_dbm() -> None:
    assert Heard.of([-60] * 10 + [-61] * 10).median_dbm == pytest.approx(-60.5)


@pytest.mark.parametrize("distance_m", [0.0, -1.0, 0.49, 3.1, 100.0, float("nan"), float("inf")])
def test_a_distance_that_no_bench_should_have_is_refused(distance_m: float) -> None:
    with pytest.raises(BadInput, match=r"wanted: metres between the antennas, 0.5..3"):
        free_space_loss_db(distance_m)


@pytest.mark.parametrize(
    ("power", "correction", "says"),
    [
        (21, 0, "--tx-power"),
        (-51, 0, "--tx-power"),
        (float("nan"), 0, "--tx-power"),
        (0, 41, "--correction"),
        (0, float("nan"), "--correction"),
        (0, float("-inf"), "--correction"),
    ],
)
def test_a_reference_that_no_device_is_like_is_refused(power: float, correction: float, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Known(power, correction)


def test_a_result_that_no_device_has_is_refused() -> None:
    with pytest.raises(BadInput, match="check the distance"):
        of(*[-100] * 4)
    with pytest.raises(BadInput, match="no device sends with"):
        estimate([Turned(heard(-110), heard(-60))] * 4, KNOWN, 1.0)


def test_one_orientation_is_refused() -> None:
    with pytest.raises(BadInput, match="give at least 2"):
        of(-60)


@pytest.mark.parametrize("side", ["here", "there"])
def test_too_few_samples_and_samples_too_unlike_are_refused_on_either_side(side: str) -> None:
    good = {"here": heard(-60), "there": heard(-60)}
    check_orientation(Turned(**good), 1)
    for bad, says in ((heard(-60, samples=11), "11 times, 12 are needed"), (heard(-60, 8.1), "varies by 8.1 dB")):
        with pytest.raises(BadInput, match=f"orientation 3: .*{says}"):
            check_orientation(Turned(**good | {side: bad}), 3)
