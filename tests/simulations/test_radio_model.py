import math

import numpy as np
import pytest

from forewarn_simulations.named_streams import NamedStreams
from forewarn_simulations.radio_model import (
    OPEN_AREA,
    VEHICLE,
    Carriage,
    Handset,
    Link,
    Placement,
    draw_handset,
    fading_db,
    link,
    occluders,
    path_loss_db,
    rssi_dbm,
    shadowing_db,
)

STREAMS = NamedStreams(1)
HANDSET = Handset(tx_power_dbm=-20.0, rssi_offset_db=3.0)
TIMES_S = np.arange(0, 40_000, 0.25)


def at(x_m: float, y_m: float, heading_rad: float = 0.0, carriage: Carriage = Carriage.TABLE) -> Placement:
    return Placement("here", x_m, y_m, heading_rad, carriage, body_db=8.0)


def between(one: Placement, other: Placement, **others: Placement) -> Link:
    return link(STREAMS, "a|b", (HANDSET, HANDSET), (one, other), others, OPEN_AREA)


def test_the_path_loss_is_that_of_free_space_in_the_open_and_nearly_flat_in_a_vehicle() -> None:
    assert path_loss_db(1, OPEN_AREA) == 40
    assert path_loss_db(10, OPEN_AREA) - path_loss_db(1, OPEN_AREA) == pytest.approx(20)
    assert path_loss_db(10, VEHICLE) - path_loss_db(1, VEHICLE) < 10


def test_two_who_face_each_other_over_their_phones_lose_only_the_path() -> None:
    path = between(at(0, 0, 0), at(2, 0, math.pi))
    assert path.mean_dbm == pytest.approx(-20 - 3 - path_loss_db(2, OPEN_AREA))
    assert not path.blocked


def test_each_back_turned_costs_its_body() -> None:
    facing = between(at(0, 0, 0), at(2, 0, math.pi)).mean_dbm
    one_back = between(at(0, 0, math.pi), at(2, 0, math.pi))
    both_backs = between(at(0, 0, math.pi), at(2, 0, 0))
    assert facing - one_back.mean_dbm == pytest.approx(8)
    assert facing - both_backs.mean_dbm == pytest.approx(16)
    assert one_back.blocked


def test_a_phone_in_a_pocket_loses_more_than_one_on_the_table() -> None:
    table = at(0, 0).body_loss_db(5, 0)
    assert table < at(0, 0, carriage=Carriage.FRONT_POCKET).body_loss_db(5, 0)
    assert table < at(0, 0, carriage=Carriage.BACK_POCKET).body_loss_db(5, 0)


def test_a_person_in_the_way_costs_four_to_six_db_and_one_beside_it_nothing() -> None:
    ends = at(0, 0, 0), at(6, 0, math.pi)
    clear, blocked = between(*ends), between(*ends, c=at(3, 0.1))
    assert 4 <= clear.mean_dbm - blocked.mean_dbm <= 6
    assert blocked.blocked
    assert between(*ends, c=at(3, 0.6)) == clear
    assert occluders(*ends, [at(-1, 0), at(7, 0), at(2, 0), at(4, -0.2)]) == [2, 3]


def test_two_at_the_same_point_are_heard_at_the_nearest_distance() -> None:
    assert math.isfinite(between(at(0, 0), at(0, 0)).mean_dbm)


def test_shadowing_has_its_spread_and_a_memory_of_seconds_not_minutes() -> None:
    path = between(at(0, 0, 0), at(2, 0, math.pi))
    shadow = shadowing_db(STREAMS, path, TIMES_S)
    assert shadow.std() == pytest.approx(OPEN_AREA.shadowing_sd_db, rel=0.1)
    assert abs(shadow.mean()) < 0.5
    second, minute = 4, 4 * 60
    assert np.corrcoef(shadow[second:], shadow[:-second])[0, 1] > 0.8
    assert abs(np.corrcoef(shadow[minute:], shadow[:-minute])[0, 1]) < 0.15


@pytest.mark.parametrize(("blocked", "spread_db"), [(True, 5.57), (False, 3.0)])
def test_fading_keeps_the_mean_power_and_is_deeper_when_blocked(*, blocked: bool, spread_db: float) -> None:
    path = Link("a|b", -60.0, blocked, OPEN_AREA)
    fading = fading_db(STREAMS, path, TIMES_S)
    assert 10 * math.log10((10 ** (fading / 10)).mean()) == pytest.approx(0, abs=0.1)
    assert fading.std() == pytest.approx(spread_db, rel=0.1)  # Rayleigh: 5.57 dB


def test_the_channels_fade_independently_so_neighbouring_advertisements_differ() -> None:
    path = Link("a|b", -60.0, blocked=True, environment=OPEN_AREA)
    within_one_moment = fading_db(STREAMS, path, np.arange(0, 0.5, 0.01))
    assert len(np.unique(within_one_moment)) == 3


def test_rssi_is_a_function_of_pair_and_time_and_no_two_pairs_share_their_noise() -> None:
    path = between(at(0, 0, 0), at(0.2, 0, math.pi))
    all_at_once = rssi_dbm(STREAMS, path, TIMES_S[:1000])
    one_by_one = [rssi_dbm(STREAMS, path, TIMES_S[n : n + 1])[0] for n in reversed(range(1000))]
    assert (all_at_once == one_by_one[::-1]).all()
    other = Link("a|c", path.mean_dbm, path.blocked, path.environment)
    assert abs(np.corrcoef(all_at_once, rssi_dbm(STREAMS, other, TIMES_S[:1000]))[0, 1]) < 0.3
    assert (all_at_once == np.round(all_at_once)).all()


def test_what_is_weaker_than_the_receiver_can_decode_is_not_heard() -> None:
    faint = rssi_dbm(STREAMS, Link("a|b", -100.0, blocked=True, environment=OPEN_AREA), TIMES_S)
    assert 0.3 < np.isnan(faint).mean() < 0.8
    assert np.nanmin(faint) == -100
    assert np.isnan(rssi_dbm(STREAMS, Link("a|b", -140.0, blocked=True, environment=OPEN_AREA), TIMES_S)).all()


def test_handsets_spread_as_measured_and_their_calibration_is_two_db_off() -> None:
    drawn = [draw_handset(STREAMS, str(n)) for n in range(3000)]
    power = np.array([handset.tx_power_dbm for handset, _ in drawn])
    offset = np.array([handset.rssi_offset_db for handset, _ in drawn])
    power_error = np.array([said.tx_power_dbm - handset.tx_power_dbm for handset, said in drawn])
    offset_error = np.array([said.rssi_correction_db - handset.rssi_offset_db for handset, said in drawn])
    assert (power.mean(), power.std()) == (pytest.approx(-20.6, abs=0.4), pytest.approx(6.6, abs=0.3))
    assert (offset.mean(), offset.std()) == (pytest.approx(3.4, abs=0.2), pytest.approx(2.0, abs=0.2))
    assert power_error.std() == pytest.approx(2.0, abs=0.2)
    assert offset_error.std() == pytest.approx(2.0, abs=0.2)
