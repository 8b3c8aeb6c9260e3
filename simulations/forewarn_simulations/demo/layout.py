"""The demo's two scenes, drawn by the seed: an open lunch area and the bus home.

The F0 sits in the middle of a long table with the contacts; the strangers sit 8 to 12 m away for as long; one person
stops behind the F0 for a few minutes. Colleagues at 1.5 to 3 m and all who ride the bus are what Bluetooth can't tell.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from forewarn_protocol.errors import BadInput
from forewarn_simulations.demo.people import BUS, LUNCH, Person, Role, Stay
from forewarn_simulations.named_streams import NamedStreams
from forewarn_simulations.radio_model import OWN_BODY_MEAN_DB, OWN_BODY_SD_DB, Carriage, Placement

FEWEST_PHONES: Final = 12
MOST_PHONES: Final = 36

LUNCH_START_S: Final = 15 * 60.0
LUNCH_LENGTH_S: Final = 60 * 60.0
BUS_START_S: Final = 5.75 * 3600.0
CONTACT_MINUTES: Final = (25.0, 45.0)
PASSING_MINUTES: Final = (3.0, 5.0)
STRANGER_M: Final = (8.0, 12.0)
BORDERLINE_M: Final = (1.5, 3.0)


class Seat(NamedTuple):
    """A seat on the plan: metres from the F0's own (on the bus: from the driver's left), heading in radians."""

    x_m: float
    y_m: float
    heading_rad: float


# The F0's own table: the seats around the F0 at (0, 0), who looks along +y over a table 0.5 m deep.
_UP, _DOWN = math.pi / 2, -math.pi / 2
_BESIDE_THE_F0: Final = (
    Seat(-0.65, 0.0, _UP),
    Seat(0.65, 0.0, _UP),
    Seat(0.0, 0.72, _DOWN),
    Seat(-0.62, 0.72, _DOWN),
    Seat(0.62, 0.72, _DOWN),
)
_CARRIAGE_SHARES: Final = (0.45, 0.3, 0.1, 0.15)
"""Of `Carriage`, in its order: our assumption for people who sit at a table."""
BUS_ROWS: Final = 10
BUS_PITCH_M: Final = 0.8
BUS_COLUMNS_M: Final = (-0.95, -0.5, 0.5, 0.95)
_NAMES: Final = (
    "An", "Bình", "Châu", "Dũng", "Giang", "Hà", "Hùng", "Khánh", "Lan", "Linh", "Long", "Mai", "Minh", "Nam", "Nga",
    "Ngọc", "Phong", "Phúc", "Quân", "Quỳnh", "Sơn", "Tâm", "Thảo", "Thu", "Trang", "Trí", "Trung", "Tú", "Tuấn",
    "Uyên", "Vân", "Việt", "Vinh", "Vy", "Xuân", "Yến", "Đạt", "Đức", "Hạnh", "Oanh",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the plan shows it: its middle, its size in metres, its turn in radians."""

    x_m: float
    y_m: float
    width_m: float
    depth_m: float
    turn_rad: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Everybody's seats and times, the tables, and the moments of the story in seconds since the clock's start."""

    people: tuple[Person, ...]
    tables: tuple[Table, ...]
    lunch_end_s: float
    bus_end_s: float

    @property
    def f0(self) -> Person:
        """The person who will test positive."""
        return self.people[0]


def roles(phones: int) -> list[Role]:
    """Return who `phones` people are: 4 contacts, 4 strangers or more, one passer-by, and whom Bluetooth can't tell.

    Raises:
        BadInput: fewer or more phones than the scene has room for.
    """
    if not FEWEST_PHONES <= phones <= MOST_PHONES:
        raise BadInput(f"the demo takes {FEWEST_PHONES} to {MOST_PHONES} phones: give --phones a number between")
    cast = [Role.F0, *[Role.CONTACT] * 4, *[Role.STRANGER] * 4, Role.PASSER_BY, Role.BORDERLINE, Role.RIDER]
    extras = (Role.RIDER, Role.BORDERLINE, Role.RIDER, Role.RIDER, Role.BORDERLINE, Role.STRANGER, Role.STRANGER)
    cast += [extras[at % len(extras)] for at in range(phones - len(cast))]
    return sorted(cast, key=list(Role).index)


def draw_layout(streams: NamedStreams, phones: int) -> Layout:
    """Draw seats, carriage, bodies and times for so many people."""
    cast = roles(phones)
    names = [str(name) for name in streams.generator("names").permutation(_NAMES)[:phones]]
    seats, tables = _lunch_seats(streams, cast)
    lunch_end_s = LUNCH_START_S + LUNCH_LENGTH_S
    bus_seats = iter(_bus_seats(streams))
    bus_end_s = BUS_START_S + 60.0 * float(streams.generator("bus length").uniform(25.0, 35.0))
    people = []
    for at, (name, role) in enumerate(zip(names, cast, strict=True)):
        stays = []
        if at in seats:
            start_s, end_s = _lunch_times(streams, name, role)
            stays.append(Stay(_seated(streams, LUNCH, name, seats[at]), start_s, end_s))
        if role in {Role.F0, Role.RIDER, Role.BORDERLINE}:
            stays.append(Stay(_seated(streams, BUS, name, next(bus_seats)), BUS_START_S, bus_end_s))
        people.append(Person(name, role, tuple(stays)))
    return Layout(tuple(people), tuple(tables), lunch_end_s, bus_end_s)


def _lunch_seats(streams: NamedStreams, cast: list[Role]) -> tuple[dict[int, Seat], list[Table]]:
    """Return everybody's seat at lunch by position in the cast, and the tables."""
    draws = streams.generator("lunch seats")
    by_role = {role: [at for at, its in enumerate(cast) if its is role] for role in Role}
    tables = [Table(0.0, 0.36, 2.1, 0.5, 0.0)]
    seats = {0: Seat(0.0, 0.0, math.pi / 2)}
    beside = draws.permutation(len(_BESIDE_THE_F0))[: len(by_role[Role.CONTACT])]
    for at, place in zip(by_role[Role.CONTACT], beside, strict=True):
        x_m, y_m, heading_rad = _BESIDE_THE_F0[place]
        seats[at] = Seat(x_m + draws.uniform(-0.04, 0.04), y_m + draws.uniform(-0.03, 0.03), heading_rad)
    for at in by_role[Role.PASSER_BY]:  # stands behind the F0 and looks at the F0
        angle, away = draws.uniform(math.radians(225), math.radians(315)), draws.uniform(0.7, 1.0)
        seats[at] = Seat(away * math.cos(angle), away * math.sin(angle), angle + math.pi)
    for role, middles, within_m in (
        (Role.BORDERLINE, _near_tables(draws), BORDERLINE_M),
        (Role.STRANGER, _far_tables(draws), STRANGER_M),
    ):
        used, chosen = _choose_seats(draws, middles, within_m, len(by_role[role]))
        tables += used
        seats.update(zip(by_role[role], chosen, strict=True))
    return seats, tables


def _near_tables(draws: np.random.Generator) -> list[tuple[float, float]]:
    sides = [(-2.6, 0.1), (2.6, 0.1), (0.0, -2.3), (0.0, 2.9)]
    return [(x + draws.uniform(-0.15, 0.15), y + draws.uniform(-0.15, 0.15)) for x, y in draws.permutation(sides)]


def _far_tables(draws: np.random.Generator) -> list[tuple[float, float]]:
    angles = [0.0, math.pi, 0.55, math.pi - 0.55, -0.55, math.pi + 0.55]
    tables = []
    for angle in draws.permutation(angles):
        turned, away = angle + draws.uniform(-0.08, 0.08), draws.uniform(9.2, 10.8)
        tables.append((away * math.cos(turned), away * math.sin(turned)))
    return tables


def _choose_seats(
    draws: np.random.Generator, middles: list[tuple[float, float]], within_m: tuple[float, float], people: int
) -> tuple[list[Table], list[Seat]]:
    """Seat people two by two at tables of four, on seats whose distance to the F0 lies within the bounds."""
    tables, rounds = [], []
    for x_m, y_m in middles:
        table = Table(x_m, y_m, 1.2, 0.7, float(draws.choice([0.0, math.pi / 2])))
        fitting = [seat for seat in _seats_of(table) if within_m[0] <= math.hypot(seat.x_m, seat.y_m) <= within_m[1]]
        tables.append(table)
        drawn = [fitting[at] for at in draws.permutation(len(fitting))]
        rounds += [(at // 2, len(tables), seat) for at, seat in enumerate(drawn)]
    rounds.sort(key=lambda entry: entry[:2])
    return tables, [seat for _, _, seat in rounds[:people]]


def _seats_of(table: Table) -> list[Seat]:
    seats = []
    for side in (-1.0, 1.0):
        for along_m in (-0.32, 0.32):
            away_m = side * (table.depth_m / 2 + 0.15)
            cos, sin = math.cos(table.turn_rad), math.sin(table.turn_rad)
            x_m, y_m = table.x_m + along_m * cos - away_m * sin, table.y_m + along_m * sin + away_m * cos
            seats.append(Seat(x_m, y_m, table.turn_rad - side * math.pi / 2))
    return seats


def _bus_seats(streams: NamedStreams) -> list[Seat]:
    """Return the seats of a bus in a drawn order: rows of two and two, everybody looks ahead (+x)."""
    seats = [Seat(BUS_PITCH_M * row, column_m, 0.0) for row in range(BUS_ROWS) for column_m in BUS_COLUMNS_M]
    return [seats[at] for at in streams.generator("bus seats").permutation(len(seats))]


def _lunch_times(streams: NamedStreams, name: str, role: Role) -> tuple[float, float]:
    """Return when a person sits down and leaves; the F0 sits the whole lunch, so the overlap is the person's own."""
    draws = streams.generator("lunch times", name)
    if role is Role.F0:
        return LUNCH_START_S, LUNCH_START_S + LUNCH_LENGTH_S
    bounds = PASSING_MINUTES if role is Role.PASSER_BY else CONTACT_MINUTES
    length_s = 60.0 * float(draws.uniform(*bounds))
    start_s = LUNCH_START_S + float(draws.uniform(0.0, LUNCH_LENGTH_S - length_s))
    return start_s, start_s + length_s


def _seated(streams: NamedStreams, place: str, name: str, seat: Seat) -> Placement:
    draws = streams.generator("seat", place, name)
    carriage = Carriage(draws.choice([*Carriage], p=_CARRIAGE_SHARES))
    heading_rad = seat.heading_rad + float(draws.normal(0.0, math.radians(15)))
    body_db = max(0.0, float(draws.normal(OWN_BODY_MEAN_DB, OWN_BODY_SD_DB)))
    return Placement(place, seat.x_m, seat.y_m, heading_rad, carriage, body_db)
