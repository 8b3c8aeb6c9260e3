from random import Random

import pytest

from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadSettings


def test_the_product_scans_4_s_every_2_5_to_5_minutes_and_rotates_every_10_to_20() -> None:
    timing = Timing.production()
    assert timing.scan_window_s == 4
    assert timing.scan_gap_s == (150, 300)
    assert timing.rotation_s == (600, 1200)
    assert timing.advertise_interval_s == (0.2, 0.27)


def test_the_product_draws_from_the_systems_randomness_and_a_simulation_from_its_seed() -> None:
    assert type(Timing.production().random).__name__ == "SystemRandom"
    drawn = [Timing(random=Random(7)).draw((1.0, 2.0)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 1 <= drawn[0] <= 2


def test_the_protocols_bounds_bind_the_product() -> None:
    """Positive control: the same check refuses a profile of tests."""

    class Hasty(Timing):
        __slots__ = ()

        def __init__(self) -> None:
            super().__init__(rotation_s=(8.0, 12.0))

    assert Timing(rotation_s=(8.0, 12.0)).rotation_s == (8.0, 12.0)
    with pytest.raises(BadSettings, match="rotation_s must lie in"):
        Hasty.production()


@pytest.mark.parametrize("span", [(2.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_a_span_runs_forward(span: tuple[float, float]) -> None:
    with pytest.raises(BadSettings, match="rotation_s"):
        Timing(rotation_s=span)


@pytest.mark.parametrize("window_s", [0, -1, float("nan")])
def test_a_scan_window_lasts(window_s: float) -> None:
    with pytest.raises(BadSettings, match="scan_window_s"):
        Timing(scan_window_s=window_s)
