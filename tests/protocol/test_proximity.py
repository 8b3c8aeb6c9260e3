import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forewarn_protocol.metadata import Confidence
from forewarn_protocol.proximity import MAX_LLR, ProximityModel, power_mean_db

MODEL = ProximityModel()
levels = st.floats(-200, 200)


def llr(loss_db: float, bursts: int = 1, samples: int = 16, confidence: Confidence = Confidence.HIGH) -> float:
    return MODEL.log_likelihood_ratio(loss_db, bursts=bursts, samples=samples, confidence=confidence)


def test_loss_counts_from_one_metre_and_knows_the_receivers_correction() -> None:
    assert MODEL.loss_db(56) == 6
    assert MODEL.loss_db(56, receiver_correction_db=4) == 2


def test_the_evidence_changes_sides_at_the_boundary() -> None:
    assert llr(MODEL.boundary_db - 1) > 0 > llr(MODEL.boundary_db + 1)
    assert llr(MODEL.boundary_db) == 0
    assert MODEL.probability(0) == 0.5


def test_less_confidence_in_the_calibration_is_less_evidence() -> None:
    spreads = [llr(-5, confidence=confidence) for confidence in (Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW)]
    assert spreads == sorted(spreads, reverse=True)
    assert llr(-5, confidence=Confidence.NONE) == llr(-5, confidence=Confidence.LOW)


def test_more_bursts_and_more_samples_are_more_evidence_up_to_a_limit() -> None:
    growing = [llr(-5, 1, 1), llr(-5, 1, 16), llr(-5, 2, 32), llr(-5, 4, 64), llr(-5, 10**6, 10**6)]
    assert growing == sorted(growing)
    assert growing[-1] < 2 * growing[0], "bodies and places do not average out"


def test_a_class_that_the_configuration_leaves_out_is_as_uncertain_as_the_worst() -> None:
    model = ProximityModel(spread_db={Confidence.HIGH: 2.0, Confidence.LOW: 9.0})
    none, low = (
        model.log_likelihood_ratio(-5, bursts=1, samples=9, confidence=confidence)
        for confidence in (Confidence.NONE, Confidence.LOW)
    )
    assert none == low


def test_the_prior_is_the_regions() -> None:
    assert ProximityModel(prior_log_odds=1.0).probability(0) == pytest.approx(1 / (1 + math.exp(-1)))


@given(levels, levels, st.integers(1, 50), st.integers(1, 1000), st.sampled_from(Confidence))
def test_more_loss_is_never_nearer(one: float, other: float, bursts: int, samples: int, confidence: Confidence) -> None:
    near, far = sorted((one, other))
    assert llr(near, bursts, samples, confidence) >= llr(far, bursts, samples, confidence)
    assert abs(llr(far, bursts, samples, confidence)) <= MAX_LLR
    assert 0 < MODEL.probability(llr(far, bursts, samples, confidence)) < 1


@given(st.lists(levels, min_size=1))
def test_a_power_mean_lies_between_its_levels_and_above_their_mean(drawn: list[float]) -> None:
    mean = power_mean_db(drawn)
    assert min(drawn) - 1e-9 <= mean <= max(drawn) + 1e-9
    assert mean >= sum(drawn) / len(drawn) - 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        {"path_loss_1m_db": float("nan")},
        {"separation_db": 0},
        {"encounter_variance_db2": -1},
        {"smoothing_s": float("inf")},
        {"spread_db": {3: float("nan")}},
        {"spread_db": {7: 1}},
        {"prior_log_odds": 7},
    ],
)
def test_a_model_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProximityModel.model_validate(wrong)
