"""Who is in the demo, what they are there for, and where and when they sit."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forewarn_simulations.radio_model import Placement

LUNCH: Final = "lunch area"
BUS: Final = "bus"


class Role(StrEnum):
    """What a person shows; the first four meet the F0 in the open lunch area only, or not at all."""

    F0 = "F0"
    CONTACT = "contact"
    STRANGER = "stranger"
    PASSER_BY = "passer-by"
    BORDERLINE = "borderline"
    RIDER = "bus rider"

    @property
    def counted(self) -> bool:
        """Whether the demo's result counts this person: Bluetooth should be able to tell."""
        return self in {Role.CONTACT, Role.STRANGER, Role.PASSER_BY}


@dataclass(frozen=True, slots=True)
class Stay:
    """One person at one seat, from and to a simulated time in seconds since the clock's start."""

    placement: Placement
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Person:
    """A person with a phone; the name is also the radio's name."""

    name: str
    role: Role
    stays: tuple[Stay, ...]

    def at(self, time_s: float) -> Placement | None:
        """Return where the person sits at a time; None when far from everybody."""
        return next((stay.placement for stay in self.stays if stay.start_s <= time_s < stay.end_s), None)


@dataclass(frozen=True, slots=True)
class Meeting:
    """What truly happened between two people at one place: metres and minutes together."""

    place: str
    distance_m: float
    minutes: float


def meetings(one: Person, other: Person) -> list[Meeting]:
    """Return the true meetings of two people, in order of time."""
    found = []
    for mine in one.stays:
        for theirs in other.stays:
            together_s = min(mine.end_s, theirs.end_s) - max(mine.start_s, theirs.start_s)
            if together_s > 0 and mine.placement.place == theirs.placement.place:
                distance_m = mine.placement.distance_m(theirs.placement)
                found.append(Meeting(mine.placement.place, distance_m, together_s / 60.0))
    return found
