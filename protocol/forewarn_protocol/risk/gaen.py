"""GAEN's risk v2: attenuation buckets, weighted duration, daily summaries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forewarn_protocol.keys import ReportType
from forewarn_protocol.risk.verdict import Decision
from forewarn_protocol.windows import ExposureWindow, Infectiousness, ScanInstance

NEVER_SHOWN: Final = frozenset({ReportType.UNKNOWN, ReportType.REVOKED})
"""Explicitly unknown or revoked keys are matched, and count for nothing."""

Threshold = Annotated[int, Field(ge=0, le=255)]
Weight = Annotated[float, Field(ge=0, le=2.5)]


def _report_type_weights() -> dict[ReportType, float]:
    return {
        ReportType.CONFIRMED_TEST: 1.0,
        ReportType.CONFIRMED_CLINICAL_DIAGNOSIS: 1.0,
        ReportType.SELF_REPORT: 0.5,
        ReportType.RECURSIVE: 0.0,
    }


def _infectiousness_weights() -> dict[Infectiousness, float]:
    return {Infectiousness.STANDARD: 1.0, Infectiousness.HIGH: 1.0}


class GaenConfiguration(BaseModel):
    """Thresholds in dB, weights without unit, scores in weighted seconds; what a table does not name weighs 0."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    immediate_db: Threshold = 55
    near_db: Threshold = 63
    medium_db: Threshold = 73
    immediate_weight: Weight = 1.5
    near_weight: Weight = 1.0
    medium_weight: Weight = 0.5
    other_weight: Weight = 0.0
    report_type_weights: dict[ReportType, Weight] = Field(default_factory=_report_type_weights)
    infectiousness_weights: dict[Infectiousness, Weight] = Field(default_factory=_infectiousness_weights)
    minimum_window_score: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    alert_sum_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.immediate_db <= self.near_db <= self.medium_db:
            raise ValueError("the thresholds must rise: immediate_db, near_db, medium_db")
        return self

    def bucket_weight(self, typical_db: float) -> float:
        """Return the weight of the first bucket whose threshold an attenuation does not pass."""
        for threshold_db, weight in (
            (self.immediate_db, self.immediate_weight),
            (self.near_db, self.near_weight),
            (self.medium_db, self.medium_weight),
        ):
            if typical_db <= threshold_db:
                return weight
        return self.other_weight

    def score(self, window: ExposureWindow) -> float:
        """Return a window's weighted seconds times the weights of its report type and infectiousness."""
        return (
            sum(self._weighted_s(scan) for scan in window.scan_instances)
            * self.report_type_weights.get(window.report_type, 0.0)
            * self.infectiousness_weights.get(window.infectiousness, 0.0)
        )

    def _weighted_s(self, scan: ScanInstance) -> float:
        return scan.seconds * self.bucket_weight(scan.typical_db)


@dataclass(frozen=True, slots=True)
class DailySummary:
    """A UTC day's window scores, in seconds."""

    day: date
    sum_s: float
    maximum_s: float


def daily_summaries(windows: Iterable[ExposureWindow], configuration: GaenConfiguration) -> list[DailySummary]:
    """Return a summary for each day with a window that counts, in order of days."""
    scores: dict[date, list[float]] = {}
    for window in windows:
        if window.report_type in NEVER_SHOWN:
            continue
        score = configuration.score(window)
        if score >= configuration.minimum_window_score:
            scores.setdefault(window.day, []).append(score)
    return [DailySummary(day, sum(of_day), max(of_day)) for day, of_day in sorted(scores.items())]


def decide(windows: Iterable[ExposureWindow], configuration: GaenConfiguration) -> dict[date, Decision]:
    """Return the decision of each day: an alert when its sum of scores reaches the threshold."""
    needed_s = configuration.alert_sum_s
    return {
        summary.day: Decision(
            alert=summary.sum_s >= needed_s,
            reason=f"{summary.sum_s / 60:.0f} weighted minutes by attenuation; {needed_s / 60:.0f} are needed",
        )
        for summary in daily_summaries(windows, configuration)
    }
