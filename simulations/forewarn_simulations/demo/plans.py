"""The plans of the report: the whole lunch area, the F0's table from near, the bus; each person with what came out."""

import math
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle
from matplotlib.transforms import Affine2D

from forewarn_simulations.demo.layout import BUS_COLUMNS_M, BUS_PITCH_M, BUS_ROWS, Table
from forewarn_simulations.demo.outcome import Outcome, PersonOutcome
from forewarn_simulations.demo.people import BUS, LUNCH, Person
from forewarn_simulations.pictures.svg import (
    CARD,
    CLEAR,
    GRID,
    INK,
    MUTED,
    PAPER,
    SOURCE,
    UNSURE,
    WARNED,
    figure,
    inline_svg,
)
from forewarn_simulations.radio_model import Placement

NEAR_M: Final = 3.6
"""Half the width of the near plan: all within 3 m of the F0 are on it, and the tables they sit at."""
_FAR_WIDTH_M: Final = 26.0


@dataclass(frozen=True, slots=True)
class Mark:
    """How a person is shown: marker, colour, filled or not, and the words of the legend."""

    marker: str
    colour: str
    filled: bool
    words: str


F0_MARK: Final = Mark("*", SOURCE, filled=True, words="the F0")
_WARNED: Final = Mark("o", WARNED, filled=True, words="warned")
_CLEAR: Final = Mark("o", CLEAR, filled=False, words="not warned")
_UNSURE_WARNED: Final = Mark("D", UNSURE, filled=True, words="can't tell: warned")
_UNSURE_CLEAR: Final = Mark("D", UNSURE, filled=False, words="can't tell: not warned")


def mark_of(one: PersonOutcome) -> Mark:
    """Return how a person is shown in every picture."""
    if one.person.role.counted:
        return _WARNED if one.warned else _CLEAR
    return _UNSURE_WARNED if one.warned else _UNSURE_CLEAR


def dot(axes: Axes, x: float, y: float, mark: Mark, size: float = 9.0) -> None:
    """Draw one person."""
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker=mark.marker,
        markersize=size * (1.7 if mark.marker == "*" else 1.0),
        markerfacecolor=mark.colour if mark.filled else PAPER,
        markeredgecolor=mark.colour,
        markeredgewidth=1.8,
        zorder=5,
    )


def lunch_plan(outcome: Outcome) -> str:
    """Draw the whole lunch area; at the far tables stands who sat there and how far away."""
    height_m = 15.0
    drawn, axes = figure(5.3 * height_m / _FAR_WIDTH_M + 0.2)
    _open_plan(axes, _FAR_WIDTH_M / 2, height_m / 2)
    for radius_m in (2.0, 8.0, 12.0):
        axes.add_patch(Circle((0, 0), radius_m, fill=False, edgecolor=MUTED, linewidth=0.8, linestyle=(0, (3, 3))))
    for radius_m, y_m in ((2.0, 1.6), (8.0, 6.9), (12.0, 6.9)):
        x_m = math.sqrt(radius_m**2 - y_m**2) + 0.2
        axes.text(x_m, y_m, f"{radius_m:g} m", ha="left", va="center", color=MUTED, fontsize=8.5)
    for table in outcome.layout.tables:
        _draw_table(axes, table)
    for person, mark, place in _seated(outcome, LUNCH):
        del person
        dot(axes, place.x_m, place.y_m, mark, 5.0)
    for table in outcome.layout.tables:
        if math.hypot(table.x_m, table.y_m) > NEAR_M + 1:
            _name_far_table(axes, outcome, table)
    return inline_svg(drawn, "lunch", _alt(outcome, LUNCH, "Plan of the lunch area, the F0 in the middle."))


def near_plan(outcome: Outcome) -> str:
    """Draw the F0's table and the people within 3 m, by name."""
    drawn, axes = figure(5.2)
    _open_plan(axes, NEAR_M, NEAR_M)
    axes.add_patch(Circle((0, 0), 2.0, fill=False, edgecolor=MUTED, linewidth=0.9, linestyle=(0, (3, 3))))
    axes.text(1.47, -1.47, "2 m", ha="left", va="top", color=MUTED, fontsize=8.5)
    for table in outcome.layout.tables:
        if math.hypot(table.x_m, table.y_m) < NEAR_M + 1:
            _draw_table(axes, table)
    for person, mark, place in _seated(outcome, LUNCH):
        if max(abs(place.x_m), abs(place.y_m)) < NEAR_M:
            dot(axes, place.x_m, place.y_m, mark, 11.0)
            below = math.sin(place.heading_rad) > 0.3  # noqa: PLR2004 - the name stands behind who looks up the page
            offset = -0.17 if below else 0.17
            axes.text(
                place.x_m, place.y_m + offset, person.name, ha="center", va="top" if below else "bottom", zorder=6
            )
    return inline_svg(drawn, "near", _alt(outcome, LUNCH, "The F0's table from near.", within_m=NEAR_M))


def bus_plan(outcome: Outcome) -> str:
    """Draw the bus from above, its front to the right."""
    length_m = BUS_PITCH_M * BUS_ROWS
    drawn, axes = figure(3.0)
    body = FancyBboxPatch(
        (-0.8, -1.35), length_m + 1.4, 2.7, boxstyle="round,pad=0,rounding_size=0.35", fill=False, edgecolor=MUTED
    )
    axes.add_patch(body)
    for row in range(BUS_ROWS):
        for column_m in BUS_COLUMNS_M:
            axes.add_patch(
                Rectangle((BUS_PITCH_M * row - 0.2, column_m - 0.19), 0.4, 0.38, facecolor=GRID, edgecolor="none")
            )
    riders = _seated(outcome, BUS)
    for _, mark, place in riders:
        dot(axes, place.x_m, place.y_m, mark, 8.0)
    for side in (-1.0, 1.0):
        _name_riders(axes, [(person.name, place) for person, _, place in riders if place.y_m * side > 0], side)
    axes.text(length_m + 0.35, 0, "front", rotation=90, ha="center", va="center", color=MUTED, fontsize=8.5)
    axes.set_xlim(-1.0, length_m + 0.8)
    axes.set_ylim(-2.75, 2.75)
    axes.set_aspect("equal")
    axes.axis("off")
    return inline_svg(drawn, "bus", _alt(outcome, BUS, "Plan of the bus."))


def _open_plan(axes: Axes, half_width_m: float, half_height_m: float) -> None:
    axes.set_xlim(-half_width_m, half_width_m)
    axes.set_ylim(-half_height_m, half_height_m)
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_table(axes: Axes, table: Table) -> None:
    turned = Affine2D().rotate(table.turn_rad).translate(table.x_m, table.y_m) + axes.transData
    corner = (-table.width_m / 2, -table.depth_m / 2)
    axes.add_patch(
        Rectangle(
            corner, table.width_m, table.depth_m, facecolor=GRID, edgecolor=MUTED, linewidth=0.6, transform=turned
        )
    )


def _seated(outcome: Outcome, place: str) -> list[tuple[Person, Mark, Placement]]:
    marks = [(outcome.layout.f0, F0_MARK), *((one.person, mark_of(one)) for one in outcome.people)]
    return [
        (person, mark, stay.placement)
        for person, mark in marks
        for stay in person.stays
        if stay.placement.place == place
    ]


def _name_far_table(axes: Axes, outcome: Outcome, table: Table) -> None:
    guests = [
        (person.name, math.hypot(place.x_m, place.y_m))
        for person, _, place in _seated(outcome, LUNCH)
        if math.hypot(place.x_m - table.x_m, place.y_m - table.y_m) < 1.0
    ]
    for line, (name, distance_m) in enumerate(guests):
        y_m = table.y_m - 1.15 - 0.8 * line
        axes.text(table.x_m, y_m, f"{name} {distance_m:.0f} m", ha="center", va="top", fontsize=8.5, color=INK)


def _name_riders(axes: Axes, riders: list[tuple[str, Placement]], side: float) -> None:
    """Write names outside the bus, a line further out where they would meet."""
    ends_m: list[float] = []  # by line, how far it is taken
    for name, place in sorted(riders, key=lambda rider: rider[1].x_m):
        half_m = 0.085 * len(name) + 0.05
        line = next((at for at, end_m in enumerate(ends_m) if end_m < place.x_m - half_m), len(ends_m))
        ends_m[line:] = [place.x_m + half_m, *ends_m[line + 1 :]]
        y_m = side * (1.55 + 0.4 * line)
        axes.plot([place.x_m, place.x_m], [place.y_m, y_m], color=MUTED, linewidth=0.6, zorder=4)
        axes.text(
            place.x_m, y_m, name, ha="center", va="bottom" if side > 0 else "top", fontsize=9, zorder=5,
            bbox={"facecolor": CARD, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip


def _alt(outcome: Outcome, place: str, first: str, within_m: float = math.inf) -> str:
    f0 = next(stay.placement for stay in outcome.layout.f0.stays if stay.placement.place == place)
    parts = [
        f"{person.name} {f0.distance_m(seat):.1f} m away, {mark.words}"
        for person, mark, seat in _seated(outcome, place)
        if 0 < f0.distance_m(seat) < within_m
    ]
    return f"{first} {'; '.join(parts)}."
