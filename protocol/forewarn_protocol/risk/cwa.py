"""Germany's calculation on exposure windows: transmission risk values, normalised time, levels per window and day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from forewarn_protocol.keys import ReportType
from forewarn_protocol.risk.verdict import Decision
from forewarn_protocol.windows import ExposureWindow, Infectiousness

_DIGITS: Final = 9
"""Times are compared after rounding here: 3 min x 1.2 must reach 3.6 whatever binary fractions make of it."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class RiskLevel(IntEnum):
    """The two levels of the German app."""

    LOW = 1
    HIGH = 2


class _German(BaseModel):
    # Names are camelCase in the German files, and both are read.
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True
    )


class Range(_German):
    """Numbers from `min` to `max`, either end in it unless it is marked as exclusive."""

    min: Finite
    max: Finite
    min_exclusive: bool = False
    max_exclusive: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.min if self.min_exclusive else value >= self.min
        return above and (value < self.max if self.max_exclusive else value <= self.max)


class MinutesFilter(_German):
    """Windows whose minutes at some attenuation fall into a range are dropped."""

    attenuation_range: Range
    drop_if_minutes_in_range: Range


class TrlFilter(_German):
    """Windows whose transmission risk level falls into a range are dropped."""

    drop_if_trl_in_range: Range


class MinutesWeight(_German):
    """What a minute at some attenuation weighs."""

    attenuation_range: Range
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LevelMapping(_German):
    """Which level a normalised time in minutes has."""

    normalized_time_range: Range
    risk_level: RiskLevel


class TransmissionRiskValue(_German):
    """What a transmission risk level weighs."""

    transmission_risk_level: int
    transmission_risk_value: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TrlEncoding(_German):
    """How infectiousness and report type add up to a transmission risk level."""

    infectiousness_offset_standard: int
    infectiousness_offset_high: int
    report_type_offset_recursive: int
    report_type_offset_self_report: int
    report_type_offset_confirmed_clinical_diagnosis: int
    report_type_offset_confirmed_test: int

    def level(self, window: ExposureWindow) -> int | None:
        """Return a window's transmission risk level; None for a report type that is never shown."""
        offset = {
            ReportType.RECURSIVE: self.report_type_offset_recursive,
            ReportType.SELF_REPORT: self.report_type_offset_self_report,
            ReportType.CONFIRMED_CLINICAL_DIAGNOSIS: self.report_type_offset_confirmed_clinical_diagnosis,
            ReportType.CONFIRMED_TEST: self.report_type_offset_confirmed_test,
        }.get(window.report_type)
        if offset is None:
            return None
        high = window.infectiousness is Infectiousness.HIGH
        return offset + (self.infectiousness_offset_high if high else self.infectiousness_offset_standard)


class CwaConfiguration(_German):
    """The German calculation's parameters, in the form in which Germany published them."""

    minutes_at_attenuation_filters: tuple[MinutesFilter, ...] = ()
    trl_filters: tuple[TrlFilter, ...] = ()
    minutes_at_attenuation_weights: tuple[MinutesWeight, ...]
    normalized_time_per_window_to_risk_level_mapping: Annotated[
        tuple[LevelMapping, ...], Field(alias="normalizedTimePerEWToRiskLevelMapping")
    ]
    normalized_time_per_day_to_risk_level_mapping: tuple[LevelMapping, ...]
    trl_encoding: TrlEncoding
    transmission_risk_value_mapping: tuple[TransmissionRiskValue, ...]


@dataclass(frozen=True, slots=True)
class DayRisk:
    """A day's level, its normalised minutes, and the fewest people that windows of each level can come from."""

    day: date
    level: RiskLevel
    normalized_minutes: float
    distinct_encounters: dict[RiskLevel, int]


@dataclass(frozen=True, slots=True)
class _WindowRisk:
    trl: int
    normalized_minutes: float
    level: RiskLevel


def day_risks(windows: Iterable[ExposureWindow], configuration: CwaConfiguration) -> list[DayRisk]:
    """Return the days that have a level, in order; a day below every range of the mapping has none."""
    days: dict[date, list[tuple[ExposureWindow, _WindowRisk]]] = {}
    for window in windows:
        if (risk := _window_risk(window, configuration)) is not None:
            days.setdefault(window.day, []).append((window, risk))
    found = (_day_risk(day, of_day, configuration) for day, of_day in sorted(days.items()))
    return [risk for risk in found if risk is not None]


def _day_risk(
    day: date, windows: Sequence[tuple[ExposureWindow, _WindowRisk]], configuration: CwaConfiguration
) -> DayRisk | None:
    minutes = round(sum(risk.normalized_minutes for _, risk in windows), _DIGITS)
    level = _level(minutes, configuration.normalized_time_per_day_to_risk_level_mapping)
    if level is None:
        return None
    distinct = {
        wanted: len({(risk.trl, window.confidence) for window, risk in windows if risk.level is wanted})
        for wanted in RiskLevel
    }
    return DayRisk(day, level, minutes, distinct)


def _window_risk(window: ExposureWindow, configuration: CwaConfiguration) -> _WindowRisk | None:
    trl = configuration.trl_encoding.level(window)
    if trl is None or any(trl in rule.drop_if_trl_in_range for rule in configuration.trl_filters):
        return None
    for rule in configuration.minutes_at_attenuation_filters:
        seconds = sum(scan.seconds for scan in window.scan_instances if scan.minimum_db in rule.attenuation_range)
        if seconds / 60 in rule.drop_if_minutes_in_range:
            return None
    value = _first(
        entry.transmission_risk_value
        for entry in configuration.transmission_risk_value_mapping
        if entry.transmission_risk_level == trl
    )
    weighted_s = sum(scan.seconds * _weight(scan.minimum_db, configuration) for scan in window.scan_instances)
    minutes = round(value * weighted_s / 60, _DIGITS)
    level = _level(minutes, configuration.normalized_time_per_window_to_risk_level_mapping)
    return None if level is None else _WindowRisk(trl, minutes, level)


def _weight(minimum_db: float, configuration: CwaConfiguration) -> float:
    return _first(
        entry.weight for entry in configuration.minutes_at_attenuation_weights if minimum_db in entry.attenuation_range
    )


def _level(minutes: float, mapping: Iterable[LevelMapping]) -> RiskLevel | None:
    return next((entry.risk_level for entry in mapping if minutes in entry.normalized_time_range), None)


def _first(values: Iterable[float]) -> float:
    return next(iter(values), 0.0)


def decide(windows: Iterable[ExposureWindow], configuration: CwaConfiguration) -> dict[date, Decision]:
    """Return the decision of each day that has a level: an alert on the high one."""
    return {
        risk.day: Decision(
            alert=risk.level is RiskLevel.HIGH,
            reason=f"{risk.normalized_minutes:.0f} minutes, normalised: {risk.level.name.lower()} risk in Germany",
        )
        for risk in day_risks(windows, configuration)
    }
