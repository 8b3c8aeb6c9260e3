"""The minutes rule: an alert when a day's expected minutes within two metres reach a threshold."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from forewarn_protocol.encounters import Judged, expected_minutes
from forewarn_protocol.keys import ReportType
from forewarn_protocol.proximity import ProximityModel
from forewarn_protocol.risk.verdict import Decision


def _report_types() -> frozenset[ReportType]:
    return frozenset({ReportType.CONFIRMED_TEST, ReportType.CONFIRMED_CLINICAL_DIAGNOSIS, ReportType.SELF_REPORT})


class MinutesConfiguration(BaseModel):
    """The threshold in expected minutes a day, the report types that count, and the model that judges distance.

    The threshold is no duration: it was tuned so that half an hour at arm's length alerts, five minutes of it or the
    same half hour ten metres away do not. Time that is less likely near than `least_probability` counts for nothing,
    else a long afternoon at the far end of a room would add up to an alert.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    alert_minutes: Annotated[float, Field(gt=0, le=1440)] = 8.0
    least_probability: Annotated[float, Field(ge=0, lt=1)] = 0.36
    report_types: frozenset[ReportType] = Field(default_factory=_report_types)
    proximity: ProximityModel = Field(default_factory=ProximityModel)


def decide(days: Mapping[date, Sequence[Judged]], configuration: MinutesConfiguration) -> dict[date, Decision]:
    """Return the decision of each day: an alert when its expected minutes within two metres reach the threshold."""
    decisions = {}
    for day, slots in days.items():
        expected = expected_minutes(slot for slot in slots if slot.probability >= configuration.least_probability)
        decisions[day] = Decision(
            alert=expected >= configuration.alert_minutes,
            reason=f"{expected:.0f} expected minutes within two metres; {configuration.alert_minutes:g} are needed",
        )
    return decisions
