"""The demo's report: one HTML page that needs nothing else, with pictures, for somebody who has never seen Forewarn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from forewarn_simulations.demo import charts, plans
from forewarn_simulations.demo.outcome import Outcome, PersonOutcome
from forewarn_simulations.demo.parameters import parameters
from forewarn_simulations.demo.people import Role
from forewarn_simulations.demo.times import EPOCH, local_time

TEMPLATE: Final = "report.html.jinja"

_EXPECTED: Final[Mapping[Role, str]] = {
    Role.CONTACT: "should be warned",
    Role.STRANGER: "should not be warned",
    Role.PASSER_BY: "should not be warned",
    Role.BORDERLINE: "Bluetooth can't tell",
    Role.RIDER: "Bluetooth can't tell",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One person in the page's tables."""

    name: str
    role: str
    where: str
    expected: str
    result: str
    css: str
    heard: str
    reason: str


def write_report(outcome: Outcome, folder: Path) -> Path:
    """Write report.html into a folder, in place of an older one, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(render(outcome), encoding="utf-8")
    return path


def render(outcome: Outcome) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=PackageLoader("forewarn_simulations.demo"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counted = [one for one in outcome.people if one.person.role.counted]
    return environment.get_template(TEMPLATE).render(
        outcome=outcome,
        figures=outcome.as_json(),
        f0=outcome.layout.f0.name,
        day=f"{EPOCH:%A, %d %B %Y}",
        counted=[_row(one) for one in counted],
        unclear=[_row(one) for one in outcome.unclear],
        moments=[(f"{local_time(moment.time_s):%a %H:%M}", moment) for moment in outcome.moments],
        alert=next((one.alert for one in outcome.people if one.alert is not None), None),
        alert_owner=next((one.person.name for one in outcome.people if one.alert is not None), ""),
        pictures={name: Markup(svg) for name, svg in _pictures(outcome).items()},  # noqa: S704 - our own SVG
        minutes_rule=outcome.configuration.risk.minutes,
        parameters=parameters(outcome),
    )


def _pictures(outcome: Outcome) -> dict[str, str]:
    return {
        "lunch": plans.lunch_plan(outcome),
        "near": plans.near_plan(outcome),
        "bus": plans.bus_plan(outcome),
        "far": charts.far_and_long(outcome),
        "heard_lunch": charts.heard_at_lunch(outcome),
        "heard_bus": charts.heard_on_the_bus(outcome),
        "everybody": charts.everybody(outcome),
        "loop": charts.loop(outcome),
    }


def _row(one: PersonOutcome) -> Row:
    scans = len(one.heard)
    mean_db = sum(burst.attenuation_db for burst in one.heard) / scans if scans else 0.0
    return Row(
        name=one.person.name,
        role=one.person.role.value,
        where=", ".join(f"{m.distance_m:.1f} m for {m.minutes:.0f} min ({m.place})" for m in one.met) or "never met",
        expected=_EXPECTED[one.person.role],
        result=_result(one),
        css="wrong" if one.missed or one.false_alert else "warned" if one.warned else "clear",
        heard=f"in {scans} {'scan' if scans == 1 else 'scans'}, mean loss {mean_db:.0f} dB" if scans else "never",
        reason=f"{one.verdict.reason}." if one.verdict else "No identifier of the F0 was ever heard.",
    )


def _result(one: PersonOutcome) -> str:
    if one.missed:
        return "missed"
    if one.false_alert:
        return "wrongly warned"
    return "warned" if one.warned else "not warned"
