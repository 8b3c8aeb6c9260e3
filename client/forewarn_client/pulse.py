"""Whether the jobs get on: a clock that notes when each job last asked it for the time, and until when it sleeps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from types import MappingProxyType
from typing import Final

from forewarn_shell.clock import Clock, Keeper

_LONGEST_STEP_S: Final = 600.0
"""Far beyond a scan with every retry, a request with every time limit, or a rebuilt diary on a slow card."""
_LONGER: Final[Mapping[str, float]] = MappingProxyType({"fetch-and-match": 2 * 3600.0, "mend": 2 * 3600.0, "page": inf})
"""A great file over the slowest line; a great diary from a failing card; a person who may not look for weeks."""

_job: ContextVar[str | None] = ContextVar("job", default=None)  # tasks that a job starts inherit it


class Pulse:
    """A `Clock` for the jobs of a daemon. A job that neither sleeps on it nor asks it for the time is stuck.

    Only time in which the machine was awake counts: after a suspend nobody is late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_s: dict[str, float] = {}

    @contextmanager
    def of(self, job: str) -> Iterator[None]:
        """Watch what is done in the block under a job's name."""
        token = _job.set(job)
        self._beat()
        try:
            yield
        finally:
            _job.reset(token)
            self._due_s.pop(job, None)

    def stuck(self) -> list[str]:
        """Return the jobs that have shown no sign of life for longer than any step of theirs may take."""
        return sorted(job for job, due_s in self._due_s.items() if self._awake_s() > due_s)

    def utc(self) -> float:
        """Return the clock's Unix time."""
        self._beat()
        return self._clock.utc()

    def monotonic(self) -> float:
        """Return the clock's monotonic time."""
        self._beat()
        return self._clock.monotonic()

    def suspended_s(self) -> float:
        """Return the clock's seconds of suspend."""
        return self._clock.suspended_s()

    async def sleep_until(self, monotonic_s: float) -> None:
        """Sleep on the clock."""
        self._beat(monotonic_s - self._clock.monotonic())
        try:
            await self._clock.sleep_until(monotonic_s)
        finally:
            self._beat()

    def kept_by(self) -> Keeper:
        """Return who keeps the clock."""
        return self._clock.kept_by()

    def _beat(self, sleeps_s: float = 0.0) -> None:
        if (job := _job.get()) is not None:
            self._due_s[job] = self._awake_s() + max(0.0, sleeps_s) + _LONGER.get(job, _LONGEST_STEP_S)

    def _awake_s(self) -> float:
        return self._clock.monotonic() - self._clock.suspended_s()
