"""The charts of the report: how far and how long, what each phone heard, the loop in time."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Rectangle

from forewarn_simulations.demo.layout import BUS_START_S, LUNCH_START_S
from forewarn_simulations.demo.outcome import Outcome, PersonOutcome
from forewarn_simulations.demo.people import BUS, LUNCH, Role
from forewarn_simulations.demo.plans import Mark, dot, mark_of
from forewarn_simulations.demo.times import EPOCH, local_time
from forewarn_simulations.pictures.svg import (
    CLEAR,
    INK,
    MUTED,
    PAPER,
    PHONE_WIDTH_IN,
    SOURCE,
    UNSURE,
    WARNED,
    figure,
    inline_svg,
)

_QUIETEST_DB, _LOUDEST_DB = 90.0, 30.0
_KINDS: Final = {
    Role.CONTACT: ("at the F0's table", WARNED, "o", "-"),
    Role.PASSER_BY: ("stopped behind the F0", SOURCE, "P", "-"),
    Role.STRANGER: ("8 to 12 m away", CLEAR, "s", "-"),
    Role.BORDERLINE: ("1.5 to 3 m away", UNSURE, "D", ":"),
    Role.RIDER: ("on the bus", UNSURE, "D", ":"),
}


def far_and_long(outcome: Outcome) -> str:
    """Draw the truth: how far from the F0 and how many minutes, and who was warned."""
    drawn, axes = figure(3.6)
    seen: dict[str, Mark] = {}
    for one in outcome.people:
        mark = mark_of(one)
        seen[mark.words] = mark
        for meeting in one.met:
            dot(axes, meeting.distance_m, meeting.minutes, mark, 7.0)
    axes.axvline(2.0, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
    axes.text(2.05, 1.0, "2 m", color=MUTED, fontsize=8.5, va="bottom")
    axes.set_xscale("log")
    axes.set_xlim(0.4, 14)
    axes.set_xticks([0.5, 1, 2, 4, 8, 12], ["0.5", "1", "2", "4", "8", "12"])
    axes.minorticks_off()
    axes.set_ylim(0, 52)
    axes.set_xlabel("distance from the F0, metres")
    axes.set_ylabel("minutes together")
    axes.grid(visible=True, linewidth=0.6)
    _legend(axes, [seen[words] for words in sorted(seen)])
    alt = "True distance and duration of each meeting with the F0. " + "; ".join(
        f"{one.person.name}: "
        + ", ".join(f"{m.distance_m:.1f} m for {m.minutes:.0f} min in the {m.place}" for m in one.met)
        for one in outcome.people
    )
    return inline_svg(drawn, "far", alt + ".")


def heard_at_lunch(outcome: Outcome) -> str:
    """Draw the calibrated loss of the F0's signal over the lunch, a line a phone."""
    return _heard(outcome, LUNCH, (LUNCH_START_S, outcome.layout.lunch_end_s), 4.4, "heard-lunch")


def heard_on_the_bus(outcome: Outcome) -> str:
    """Draw the same for the bus."""
    return _heard(outcome, BUS, (BUS_START_S, outcome.layout.bus_end_s), 3.2, "heard-bus")


def _heard(outcome: Outcome, place: str, span_s: tuple[float, float], height_in: float, name: str) -> str:
    drawn, axes = figure(height_in)
    boundary_db = _boundary_db(outcome)
    shown: dict[Role, None] = {}
    for one in outcome.people:
        bursts = [burst for burst in one.heard if span_s[0] <= burst.time_s < span_s[1]]
        if bursts:
            shown[one.person.role] = None
            _, colour, marker, style = _KINDS[one.person.role]
            minutes = [(burst.time_s - span_s[0]) / 60 for burst in bursts]
            losses = [burst.attenuation_db for burst in bursts]
            axes.plot(minutes, losses, style, color=colour, marker=marker, markersize=4, linewidth=1.1)
    axes.axhline(boundary_db, color=INK, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1, label="2 m: even chance")
    axes.set_ylim(_QUIETEST_DB, _LOUDEST_DB)
    axes.set_xlim(0, (span_s[1] - span_s[0]) / 60)
    axes.set_xlabel(f"minutes since {local_time(span_s[0]):%H:%M}, in the {place}")
    axes.set_ylabel("loss, dB (nearer is up)")
    axes.grid(visible=True, linewidth=0.6)
    for role in sorted(shown, key=list(_KINDS).index):
        words, colour, marker, style = _KINDS[role]
        axes.plot([], [], style, color=colour, marker=marker, markersize=5, label=words)
    drawn.legend(loc="outside upper left", ncols=2, handlelength=1.8, columnspacing=1.2)
    return inline_svg(drawn, name, _heard_alt(outcome.people, span_s, place, boundary_db))


def _heard_alt(people: Sequence[PersonOutcome], span_s: tuple[float, float], place: str, boundary_db: float) -> str:
    parts = []
    for one in people:
        losses = [burst.attenuation_db for burst in one.heard if span_s[0] <= burst.time_s < span_s[1]]
        if losses:
            parts.append(
                f"{one.person.name} ({_KINDS[one.person.role][0]}) {np.mean(losses):.0f} dB in {len(losses)} scans"
            )
    heard = "; ".join(parts) or "nobody heard it"
    return f"Mean loss of the F0's signal in the {place}; {boundary_db:.0f} dB is the even chance of 2 m: {heard}."


def everybody(outcome: Outcome) -> str:
    """Draw how loud each phone heard each other one, as a table of colours."""
    names = [person.name for person in outcome.layout.people]
    width_in = max(PHONE_WIDTH_IN, 1.2 + 0.26 * len(names))
    drawn, axes = figure(width_in * 0.98, width_in=width_in)
    scale, colours = Normalize(_LOUDEST_DB + 10, _QUIETEST_DB), colormaps["viridis_r"]
    for row, receiver in enumerate(names):
        for column, sender in enumerate(names):
            loudness = outcome.loudness.get((sender, receiver))
            if loudness is not None:
                colour = colours(scale(loudness.attenuation_db))
                axes.add_patch(_cell(column, row, colour))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_aspect("equal")
    labels = [f"{name} (F0)" if name == outcome.layout.f0.name else name for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=9)
    axes.set_yticks(range(len(names)), labels, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlabel("whose phone spoke")
    axes.set_ylabel("whose phone heard")
    bar = drawn.colorbar(_scale(scale, colours), ax=axes, location="top", shrink=0.7, pad=0.02, aspect=30)
    bar.set_label("mean loss, dB: near and loud on the left", fontsize=9.5)
    bar.outline.set_visible(False)
    pairs = len(outcome.loudness)
    loudest = min(outcome.loudness.items(), key=lambda item: item[1].attenuation_db, default=None)
    told = (
        f" The loudest is {loudest[0][0]} heard by {loudest[0][1]}, {loudest[1].attenuation_db:.0f} dB."
        if loudest
        else ""
    )
    return inline_svg(
        drawn, "everybody", f"Table of how loud {len(names)} phones heard each other: {pairs} pairs.{told}"
    )


def loop(outcome: Outcome) -> str:
    """Draw when each step of the loop happened, from lunch to the last phone's judgement."""
    drawn, axes = figure(3.1)
    steps = outcome.loop
    rows = [
        ("lunch, bus", [(LUNCH_START_S, outcome.layout.lunch_end_s), (BUS_START_S, outcome.layout.bus_end_s)], SOURCE),
        ("report", [(steps.report_s, steps.report_s)], WARNED),
        ("embargo", [(steps.report_s, steps.embargo_over_s)], MUTED),
        ("waits for reports", [(steps.embargo_over_s, steps.sealed_s)], MUTED),
        ("hourly seal", [(steps.sealed_s, steps.sealed_s)], WARNED),
        ("phones fetch", [(time_s, time_s) for time_s in sorted(steps.fetched_s.values())], CLEAR),
    ]
    for row, (_, spans, colour) in enumerate(rows):
        for start_s, end_s in spans:
            hours = (start_s / 3600, end_s / 3600)
            if end_s > start_s:
                axes.plot(hours, (row, row), color=colour, linewidth=9, solid_capstyle="butt")
            else:
                axes.plot(hours[:1], (row,), color=colour, marker="o", markersize=6, linestyle="none", alpha=0.8)
    end_h = max(steps.fetched_s.values(), default=steps.sealed_s) / 3600
    first_h = math.ceil(EPOCH.hour + EPOCH.minute / 60) - (EPOCH.hour + EPOCH.minute / 60)
    ticks = np.arange(first_h, end_h + 1, 3.0)
    axes.set_xticks(ticks, [f"{local_time(tick * 3600):%H:%M}" for tick in ticks])
    axes.set_xlim(0, end_h + 0.6)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", linewidth=0.6)
    axes.set_xlabel("Vietnamese time")
    return inline_svg(
        drawn,
        "loop",
        f"The loop in time: report at {local_time(steps.report_s):%H:%M}, embargo until"
        f" {local_time(steps.embargo_over_s):%H:%M}, file sealed at {local_time(steps.sealed_s):%H:%M}, the last phone"
        f" has judged at {local_time(end_h * 3600):%H:%M}.",
    )


def _boundary_db(outcome: Outcome) -> float:
    """Return the calibrated loss at which within two metres is as likely as not, by the signed configuration."""
    model = outcome.configuration.risk.minutes.proximity
    return model.path_loss_1m_db + model.boundary_db


def _legend(axes: Axes, marks: Sequence[Mark]) -> None:
    for mark in marks:
        axes.plot(
            [],
            [],
            linestyle="none",
            marker=mark.marker,
            markersize=7,
            markerfacecolor=mark.colour if mark.filled else PAPER,
            markeredgecolor=mark.colour,
            markeredgewidth=1.8,
            label=mark.words,
        )
    legend = axes.get_figure()
    if legend is not None:
        legend.legend(loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.2)


def _cell(column: int, row: int, colour: tuple[float, float, float, float]) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, edgecolor="none")


def _scale(scale: Normalize, colours: Colormap) -> ScalarMappable:
    return ScalarMappable(norm=scale, cmap=colours)
