"""What a rule says about one day, in the words that a person will read."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Likelihood(StrEnum):
    """How likely the person was within two metres, as far as signal strength can tell."""

    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One UTC day: whether to warn, about how many minutes, how likely near, by which rule and why.

    `minutes` is the time spent at the distance that `likelihood` speaks of, not rounded; it counts once, however many
    cases were there. `weak` marks a day that rests on a single identifier: a relay could have made it.
    """

    day: date
    alert: bool
    minutes: float
    likelihood: Likelihood
    rule: str
    reason: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decides about one day, and the sentence that says why."""

    alert: bool
    reason: str
