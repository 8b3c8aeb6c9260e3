"""RSSI → calibrated loss → log-likelihood ratio and probability of being within two metres.

One window of signal strength cannot make this call: no known method is right about 67 % of the time or better. So a
burst's evidence is kept as a log-likelihood ratio, pooled over an encounter, and only then turned into minutes.
"""

from collections.abc import Iterable, Sequence
from math import exp, log10
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from forewarn_protocol.metadata import Confidence

MAX_LLR: Final = 12.0
"""Beyond this the evidence says nothing more: it keeps every sum finite, whatever was heard."""

Decibel = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


def _spreads() -> dict[Confidence, float]:
    return {Confidence.NONE: 7.0, Confidence.LOW: 7.0, Confidence.MEDIUM: 4.0, Confidence.HIGH: 2.0}


class ProximityModel(BaseModel):
    """How loss tells near from far; every number is in dB, and a fit to measured encounters gives it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    path_loss_1m_db: Decibel = 40.0
    boundary_db: Decibel = 4.5
    separation_db: Annotated[float, Field(gt=0, le=50)] = 5.0
    shared_variance_db2: Annotated[float, Field(gt=0, le=1000)] = 26.0
    burst_variance_db2: Annotated[float, Field(ge=0, le=1000)] = 20.0
    spread_db: dict[Confidence, Annotated[float, Field(ge=0, le=50)]] = Field(default_factory=_spreads)
    smoothing_s: Annotated[float, Field(ge=0, le=7200)] = 900.0
    prior_log_odds: Annotated[float, Field(ge=-6, le=6)] = 0.0

    def log_likelihood_ratio(self, loss_db: float, *, bursts: int, confidence: Confidence) -> float:
        """Return how much more likely a mean loss over some bursts is within two metres than beyond (natural log)."""
        variance = (
            self.shared_variance_db2
            + self.burst_variance_db2 / max(1, bursts)
            + self.spread_db.get(confidence, 7.0) ** 2
        )
        llr = (self.boundary_db - loss_db) * self.separation_db / variance
        return max(-MAX_LLR, min(MAX_LLR, llr))

    def probability(self, llr: float) -> float:
        """Return the probability of being within two metres, given the evidence and the configured prior."""
        return 1 / (1 + exp(-(llr + self.prior_log_odds)))


def power_mean_db(levels: Sequence[float] | Iterable[float]) -> float:
    """Return the mean of levels in dB, taken over their powers: fading's deep notches then weigh little."""
    powers = [10 ** (level / 10) for level in levels]
    return 10 * log10(sum(powers) / len(powers))
