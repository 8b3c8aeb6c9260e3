"""The generations of one ring in time: announced, active, retiring, ended or revoked; pure, and safe to show.

A generation is *active* from the moment that was set for it until a younger one is. It is *retiring*, accepted and no
longer used for anything new, for the overlap after that; then it has *ended*.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forewarn_protocol.errors import BadInput, Refused

FIRST: Final = "v1"


class State(StrEnum):
    """What a generation is at a moment."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    ENDED = "ended"
    REVOKED = "revoked"


LIVING: Final = (State.ANNOUNCED, State.ACTIVE, State.RETIRING)


class Generation(BaseModel):
    """One key of a ring, without its secret; times are Unix seconds, `public_key` is empty for symmetric keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^v[1-9][0-9]{0,8}$")
    active_s: int = Field(ge=0)
    revoked_s: int | None = Field(None, ge=0)
    public_key: str = ""

    @property
    def was_ever_active(self) -> bool:
        """Whether it was not revoked before its time came."""
        return self.revoked_s is None or self.revoked_s > self.active_s


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    generations: tuple[Generation, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Generations, oldest first; `overlap_s` is how long one is accepted after a younger one took over."""

    generations: tuple[Generation, ...]
    overlap_s: int

    @classmethod
    def parse(cls, data: bytes, overlap_s: int) -> "Schedule":
        """Read what `encode` wrote.

        Raises:
            BadInput: it is anything else.
        """
        try:
            return cls(_File.model_validate_json(data).generations, overlap_s)
        except ValidationError:
            raise BadInput("is no schedule of keys") from None

    def encode(self) -> bytes:
        """Return the bytes of the schedule's file."""
        return _File(generations=self.generations).model_dump_json(indent=1).encode() + b"\n"

    def state(self, generation: Generation, now_s: float) -> State:
        """Tell what a generation is."""
        if generation.revoked_s is not None:
            return State.REVOKED
        if generation == self.active(now_s):
            return State.ACTIVE
        if now_s < generation.active_s:
            return State.ANNOUNCED
        until_s = self.until_s(generation)
        return State.RETIRING if until_s is None or now_s < until_s else State.ENDED

    def active(self, now_s: float) -> Generation:
        """Return the generation that is used for what is new.

        Raises:
            BadInput: every one is revoked.
        """
        usable = [generation for generation in self.generations if generation.revoked_s is None]
        if not usable:
            raise BadInput("names revoked keys only")
        begun = [generation for generation in usable if generation.active_s <= now_s]
        # With none begun the clock was set back: the oldest is what was in use then.
        return begun[-1] if begun else usable[0]

    def until_s(self, generation: Generation) -> int | None:
        """Return when a generation ends; None while no younger one has a time set."""
        younger = self.generations[self.generations.index(generation) + 1 :]
        successor = next((each for each in younger if each.was_ever_active), None)
        return None if successor is None else successor.active_s + self.overlap_s

    def living(self, now_s: float) -> tuple[Generation, ...]:
        """Return the generations whose secret is needed."""
        return tuple(each for each in self.generations if self.state(each, now_s) in LIVING)

    def next_name(self) -> str:
        """Return a name that no generation of this ring ever had."""
        # Names end with the youngest; that one is never dropped.
        return f"v{int(self.generations[-1].name[1:]) + 1}"

    def followed_by(self, generation: Generation) -> "Schedule":
        """Return the schedule with one more generation, which takes over no sooner than the one before it."""
        active_s = max(generation.active_s, self.generations[-1].active_s)
        return replace(self, generations=(*self.generations, generation.model_copy(update={"active_s": active_s})))

    def without(self, name: str, now_s: int) -> "Schedule":
        """Return the schedule with a generation revoked; an announced one then takes over at once if it was active.

        Where that leaves a gap (`leaves_a_gap`), the caller must add a successor.

        Raises:
            Refused: there is no such generation, or it is revoked already.
        """
        found = next((each for each in self.generations if each.name == name), None)
        if found is None or found.revoked_s is not None:
            what = "is revoked already" if found else f"does not exist: there are {self._names()}"
            raise Refused(f"the key {name} {what}", "no_such_key")
        was_active = found == self.active(now_s)
        changed = _with(self, found.model_copy(update={"revoked_s": now_s}))
        announced = changed.announced(now_s)
        if was_active and announced:
            changed = _with(changed, announced[0].model_copy(update={"active_s": now_s}))
        return changed

    def leaves_a_gap(self, name: str, now_s: float) -> bool:
        """Whether nobody could take over from this generation: it is active and none is announced."""
        return self.active(now_s).name == name and not self.announced(now_s)

    def announced(self, now_s: float) -> tuple[Generation, ...]:
        """Return the generations whose time has not come."""
        return tuple(each for each in self.generations if self.state(each, now_s) is State.ANNOUNCED)

    def dropped(self, generations: Collection[Generation]) -> "Schedule":
        """Return the schedule without generations that nobody needs to know of any more."""
        return replace(self, generations=tuple(each for each in self.generations if each not in generations))

    def ended(self, generations: Collection[Generation], now_s: int) -> "Schedule":
        """Return the schedule with generations over for good, also where the clock is set back."""
        changed = self
        for each in generations:
            changed = _with(changed, each.model_copy(update={"revoked_s": max(now_s, each.active_s + 1)}))
        return changed

    def _names(self) -> str:
        return ", ".join(each.name for each in self.generations)


def _with(schedule: Schedule, changed: Generation) -> Schedule:
    generations = tuple(changed if each.name == changed.name else each for each in schedule.generations)
    return replace(schedule, generations=generations)
