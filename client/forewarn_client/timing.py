"""How long the radio's and the daemon's steps take: one value, with every jitter drawn from its own randomness."""

from dataclasses import dataclass, field, fields
from random import Random, SystemRandom
from typing import Final, Self

from forewarn_protocol.errors import BadSettings

Span = tuple[float, float]
"""Shortest and longest, in seconds; a duration is drawn uniformly between them."""

# What a product's daemon may do (PROTOCOL, 'On the air'). Shorter rotations run out of identifiers, longer ones let a
# listener follow somebody; shorter scan gaps empty the battery, longer ones miss a quarter of an hour together.
_PRODUCTION_BOUNDS: Final[dict[str, Span]] = {
    "scan_window_s": (2, 10),
    "scan_gap_s": (150, 300),
    "rotation_s": (600, 1200),
    "rotation_pause_s": (0.01, 1),
    "advertise_interval_s": (0.2, 0.27),
    "first_step_s": (0, 300),
    "fetch_gap_s": (1800, 24 * 3600),
    "forget_gap_s": (600, 24 * 3600),
    "back_off_s": (1, 24 * 3600),
    "radio_back_off_s": (0.5, 300),
    "report_gap_s": (0.5, 10),
    "reading_s": (1, 600),
    "chaff_gap_mean_s": (3600, 48 * 3600),
}
_SINGLE: Final = ("scan_window_s", "chaff_gap_mean_s")


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds. `Timing.production()` is what the product runs; other values are for simulations and tests.

    Raises:
        BadSettings: a span that ends before it begins, or a duration that is not positive.
    """

    scan_window_s: float = 4.0
    scan_gap_s: Span = (150.0, 300.0)
    """From the start of one scan window to the start of the next."""
    rotation_s: Span = (600.0, 1200.0)
    """How long one identifier and its address stay on the air."""
    rotation_pause_s: Span = (0.05, 0.5)
    """Off the air between two identifiers: a listener can't join them by their contact in time."""
    advertise_interval_s: Span = (0.2, 0.27)
    first_step_s: Span = (1.0, 30.0)
    """From the daemon's start to the first scan, download and forgetting."""
    fetch_gap_s: Span = (2 * 3600.0, 4 * 3600.0)
    forget_gap_s: Span = (3000.0, 4200.0)
    back_off_s: Span = (5.0, 1800.0)
    """After the first fault and, doubling, after the last of many."""
    radio_back_off_s: Span = (1.0, 60.0)
    """The same for what needs the radio: asking it again costs next to nothing, and an encounter may pass meanwhile."""
    report_gap_s: Span = (0.5, 1.5)
    """From an answer to the next request of a report or of chaff: longer than any device works in between."""
    reading_s: Span = (5.0, 180.0)
    """How long a person reads, as chaff pretends it: a report asks once more where the authority's date adds days."""
    chaff_gap_mean_s: float = 12 * 3600.0
    random: Random = field(default_factory=SystemRandom, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in _SINGLE:
            if not getattr(self, name) > 0:
                raise BadSettings(f"{name} must be longer than 0 s")
        for name, (shortest, longest) in self._spans().items():
            if not 0 <= shortest <= longest:
                raise BadSettings(f"{name} must run from a shorter to a longer time")

    @classmethod
    def production(cls) -> Self:
        """Return the durations that the product runs, checked against the protocol's bounds.

        Raises:
            BadSettings: a default has left its bounds.
        """
        timing = cls()
        spans = {**timing._spans(), **{name: (getattr(timing, name),) * 2 for name in _SINGLE}}
        for name, (least, most) in _PRODUCTION_BOUNDS.items():
            shortest, longest = spans[name]
            if not least <= shortest <= longest <= most:
                raise BadSettings(f"{name} must lie in {least}..{most} s")
        return timing

    def draw(self, span: Span) -> float:
        """Return a duration drawn uniformly from one of the spans."""
        return self.random.uniform(*span)

    def draw_chaff_gap(self) -> float:
        """Return a time to the next chaff: exponential, so that no wait says when the last one was."""
        return self.random.expovariate(1 / self.chaff_gap_mean_s)

    def _spans(self) -> dict[str, Span]:
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), tuple)}
