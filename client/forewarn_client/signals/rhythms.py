"""Which rhythm stands for which condition: the contract of LED and buzzer (docs/site.md, decision 0020).

An alert looks like a call for help: a badge is worn before colleagues, and both send its wearer to the same desk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final, Literal

from forewarn_client.condition import State

GAP_MS: Final = 200
"""Dark between two flashes of one group: long enough to count them."""

AlertLook = Literal["discreet", "own"]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A group of flashes that begins again each period; durations in milliseconds.

    `timed_ms`, on and off, is what takes its place where the kernel knows no patterns: told apart by its pace.
    """

    flashes_ms: tuple[int, ...]
    period_ms: int
    timed_ms: tuple[int, int]

    @property
    def lit(self) -> float:
        """Share of the time in which the light is on, 0..1: what it costs."""
        return sum(self.flashes_ms) / self.period_ms

    def pattern(self, brightness: int) -> str:
        """Return the rhythm for the kernel's trigger `pattern`: brightness and milliseconds in turn.

        Each value stands twice, the second time for 0 ms: else the trigger fades from one to the next.
        """
        group_ms = sum(self.flashes_ms) + GAP_MS * (len(self.flashes_ms) - 1)
        gaps_ms = [*repeat(GAP_MS, len(self.flashes_ms) - 1), self.period_ms - group_ms]
        steps = chain.from_iterable(
            ((brightness, flash_ms), (brightness, 0), (0, gap_ms), (0, 0))
            for flash_ms, gap_ms in zip(self.flashes_ms, gaps_ms, strict=True)
        )
        return " ".join(f"{level} {lasts_ms}" for level, lasts_ms in steps)


_SHORT_MS: Final = 60
_MESSAGE: Final = Rhythm((_SHORT_MS,) * 3, 5_000, (_SHORT_MS, 565))
"""Look at your page, or go to the desk."""
_OWN_ALERT: Final = Rhythm((_SHORT_MS, _SHORT_MS, _SHORT_MS, 600), 5_000, (600, 600))

RHYTHMS: Final[Mapping[State, Rhythm]] = {
    State.RUNNING: Rhythm((_SHORT_MS,), 10_000, (_SHORT_MS, 9_940)),
    State.STALE: Rhythm((_SHORT_MS,) * 2, 10_000, (_SHORT_MS, 2_440)),
    State.ALERT: _MESSAGE,
    State.CALL: _MESSAGE,
}
BEEPS: Final = Rhythm((80, 80, 80), 2_000, (80, 1_920))
"""What the buzzer says, once, of an alert and of a call for help alike."""


def rhythm_of(state: State, alert_look: AlertLook) -> Rhythm:
    """Return what the light does in a state; an alert has a rhythm of its own only where its owner asked for it."""
    return _OWN_ALERT if state is State.ALERT and alert_look == "own" else RHYTHMS[state]
