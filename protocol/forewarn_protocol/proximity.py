"""RSSI → calibrated loss → log-likelihood ratio and probability of being within two metres.

One window of signal strength cannot make this call: no known method is right much more often than two times in three.
So a burst's evidence is kept as a log-likelihood ratio and pooled over the encounter before anything is decided.
"""

from collections.abc import Sequence
from math import exp, log10
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from forewarn_protocol.metadata import Confidence

MAX_LLR: Final = 12.0
"""Beyond this the evidence says nothing more: it keeps every sum finite, whatever was heard."""

Variance = Annotated[float, Field(ge=0, le=1000)]


def _spreads() -> dict[Confidence, float]:
    return {Confidence.NONE: 7.0, Confidence.LOW: 7.0, Confidence.MEDIUM: 4.0, Confidence.HIGH: 2.0}


class ProximityModel(BaseModel):
    """How loss tells near from far: two normal distributions of equal variance, `separation_db` apart.

    The numbers are in dB and dB². They are starting values: rounded from slopes and boundaries fitted, thinned to
    bursts of 4 s, to published measurements of carried phones with near at 2 m or less (DP-3T, Herald, MIT's Matrix
    and h0h1 sessions). The path loss at 1 m, bodies included, comes from those of them whose transmit power and
    receiver correction Google published. Spreads by confidence are first guesses: 7, 4 and 2 dB.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    path_loss_1m_db: Annotated[float, Field(ge=0, le=120)] = 50.0
    boundary_db: Annotated[float, Field(ge=-50, le=50)] = 4.2
    separation_db: Annotated[float, Field(gt=0, le=50)] = 5.3
    encounter_variance_db2: Annotated[float, Field(gt=0, le=1000)] = 35.0
    burst_variance_db2: Variance = 14.0
    sample_variance_db2: Variance = 16.0
    spread_db: dict[Confidence, Annotated[float, Field(ge=0, le=30)]] = Field(default_factory=_spreads)
    smoothing_s: Annotated[float, Field(ge=0, le=7200)] = 900.0
    prior_log_odds: Annotated[float, Field(ge=-6, le=6)] = 0.0

    def loss_db(self, attenuation_db: float, receiver_correction_db: float = 0) -> float:
        """Return what was lost beyond what one metre costs; the correction is what this receiver's RSSI lacks."""
        return attenuation_db - receiver_correction_db - self.path_loss_1m_db

    def log_likelihood_ratio(self, loss_db: float, *, bursts: int, samples: int, confidence: Confidence) -> float:
        """Return how much more likely a loss is within two metres than beyond (natural logarithm).

        `loss_db` is the mean over `bursts` bursts of `samples` samples in all. Only what differs from burst to burst,
        or from sample to sample, averages out: bodies, the place and the sender's unknown offset stay.
        """
        variance = (
            self.encounter_variance_db2
            + self.spread_db.get(confidence, max(self.spread_db.values(), default=0.0)) ** 2
            + self.burst_variance_db2 / max(1, bursts)
            + self.sample_variance_db2 / max(1, samples)
        )
        llr = (self.boundary_db - loss_db) * self.separation_db / variance
        return max(-MAX_LLR, min(MAX_LLR, llr))

    def probability(self, llr: float) -> float:
        """Return the probability of being within two metres: the evidence, and the prior that the region signed."""
        return 1 / (1 + exp(-(llr + self.prior_log_odds)))


def power_mean_db(levels_db: Sequence[float]) -> float:
    """Return the mean of levels in dB, taken over their powers: fading's deep notches then weigh little."""
    return 10 * log10(sum(10 ** (level / 10) for level in levels_db) / len(levels_db))
