"""What the operator may count.

Who reads metrics may look every second, so a figure is as good as a list of times: nothing here may tell a report from
chaff, or one route of the anonymous zone from another.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SLOTS: Final = (1, 2, 3, 5, 10, 20, 50)


class Metrics:
    """The figures of one server process; each feature counts on its own attribute."""

    def __init__(self) -> None:
        # Not the library's own registry: two servers in one process would add up.
        self.registry = CollectorRegistry()
        self.internal_errors = Counter(
            "forewarn_internal_errors", "Requests that met a fault of ours.", registry=self.registry
        )
        self.late_answers = Counter(
            "forewarn_late_answers",
            "Answers to phones whose work took longer than a slot of the clock grid.",
            registry=self.registry,
        )
        self.answer_slots = Histogram(
            "forewarn_answer_slots",
            "Slots of the clock grid that answers to phones waited for; 1 is in time.",
            buckets=_SLOTS,
            registry=self.registry,
        )
        self.forgetting_overdue_seconds = Gauge(
            "forewarn_forgetting_overdue_seconds",
            "Since when something should be gone from the disk that is not; 0 while forgetting is up to date.",
            registry=self.registry,
        )

        self.expected_guesses = Gauge(
            "forewarn_expected_guesses",
            "Guesses of short codes expected to succeed today (UTC), in steps of 0.0001; at 0.01 new codes are long.",
            registry=self.registry,
        )

    def note_departure(self, late_slots: int) -> None:
        """Count an answer to a phone that left so many slots of the clock grid too late."""
        self.answer_slots.observe(1 + late_slots)
        if late_slots:
            self.late_answers.inc()

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
