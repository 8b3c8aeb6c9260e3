"""What the operator may count.

Who reads metrics may look every second, so a figure is as good as a list of times: nothing here may tell a report from
chaff, or one route of the anonymous zone from another.
"""

from prometheus_client import CollectorRegistry, Counter, generate_latest


class Metrics:
    """The figures of one server process; each feature counts on its own attribute."""

    def __init__(self) -> None:
        # Not the library's own registry: two servers in one process would add up.
        self.registry = CollectorRegistry()
        self.internal_errors = Counter(
            "forewarn_internal_errors", "Requests that met a fault of ours.", registry=self.registry
        )

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
