"""Cases of the German calculation in their published form: windows, configuration and expected results."""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from forewarn_protocol.errors import BadInput
from forewarn_protocol.keys import ReportType
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.risk.cwa import CwaConfiguration, RiskLevel, day_risks
from forewarn_protocol.windows import ExposureWindow, Infectiousness, ScanInstance
from forewarn_protocol.wire import parse_json

MAX_CASES_BYTES: Final = 16 * 1024 * 1024
_MAX_PARTS: Final = 1_000_000
# Cases give ages in days: any date will do as the day from which they count.
_TODAY: Final = date(2021, 1, 1)

Attenuation = Annotated[float, Field(ge=0, le=255)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, hide_input_in_errors=True, allow_inf_nan=False)


class _Scan(_Form):
    min_attenuation: Attenuation
    typical_attenuation: Attenuation
    seconds_since_last_scan: Annotated[int, Field(ge=0, le=24 * 3600)]


class _Window(_Form):
    age_in_days: Annotated[int, Field(ge=0, le=3650)]
    report_type: ReportType
    infectiousness: Infectiousness
    calibration_confidence: Confidence
    scan_instances: tuple[_Scan, ...]

    def read(self) -> ExposureWindow:
        scans = tuple(
            ScanInstance(round(scan.typical_attenuation), scan.min_attenuation, scan.seconds_since_last_scan)
            for scan in self.scan_instances
        )
        day = _TODAY - timedelta(days=self.age_in_days)
        return ExposureWindow(day, scans, self.report_type, self.infectiousness, self.calibration_confidence)


class _Case(_Form):
    description: str = ""
    exposure_windows: tuple[_Window, ...]
    exp_total_risk_level: int | None = None
    exp_age_of_most_recent_date_with_low_risk: int | None = None
    exp_age_of_most_recent_date_with_high_risk: int | None = None
    exp_number_of_days_with_low_risk: int | None = None
    exp_number_of_days_with_high_risk: int | None = None
    exp_total_minimum_distinct_encounters_with_low_risk: int | None = None
    exp_total_minimum_distinct_encounters_with_high_risk: int | None = None


class _Cases(_Form):
    default_risk_calculation_configuration: CwaConfiguration
    test_cases: tuple[_Case, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What the calculation says about all days of a case; ages are in days, None where there is no such day."""

    total_risk_level: int
    age_of_most_recent_date_with_low_risk: int | None
    age_of_most_recent_date_with_high_risk: int | None
    number_of_days_with_low_risk: int
    number_of_days_with_high_risk: int
    total_minimum_distinct_encounters_with_low_risk: int
    total_minimum_distinct_encounters_with_high_risk: int


def run_cases(body: bytes) -> list[dict[str, Any]]:
    """Return for each case of a file its description, the results under their `exp…` names, and `ok`.

    `ok` says whether every result that the file expects is the one that came out.

    Raises:
        BadInput: no JSON, or not of this form.
    """
    cases = parse_json(_Cases, body, error=BadInput, limit_bytes=MAX_CASES_BYTES, limit_parts=_MAX_PARTS)
    return [_run(case, cases.default_risk_calculation_configuration) for case in cases.test_cases]


def _run(case: _Case, configuration: CwaConfiguration) -> dict[str, Any]:
    result = _evaluate([window.read() for window in case.exposure_windows], configuration)
    named = {f"exp_{name}": value for name, value in asdict(result).items()}
    expected = {name: getattr(case, name) for name in case.model_fields_set if name.startswith("exp_")}
    return {
        "description": case.description,
        **{to_camel(name): value for name, value in named.items()},
        "ok": all(named[name] == value for name, value in expected.items()),
    }


def _evaluate(windows: list[ExposureWindow], configuration: CwaConfiguration) -> Result:
    risks = day_risks(windows, configuration)
    ages = {level: [(_TODAY - risk.day).days for risk in risks if risk.level is level] for level in RiskLevel}
    distinct = {level: sum(risk.distinct_encounters[level] for risk in risks) for level in RiskLevel}
    low, high = RiskLevel.LOW, RiskLevel.HIGH
    return Result(
        total_risk_level=high if ages[high] else low,
        age_of_most_recent_date_with_low_risk=min(ages[low], default=None),
        age_of_most_recent_date_with_high_risk=min(ages[high], default=None),
        number_of_days_with_low_risk=len(ages[low]),
        number_of_days_with_high_risk=len(ages[high]),
        total_minimum_distinct_encounters_with_low_risk=distinct[low],
        total_minimum_distinct_encounters_with_high_risk=distinct[high],
    )
