"""How long forgetting has been behind, for the operator's metrics."""

from typing import Final

from forewarn_shell.clock import Clock

LATEST_S: Final = 26 * 3_600
"""After a finished run: one comes daily, and may have to try again for an hour or two."""


class Overdue:
    """Behind from the first run that could not finish, or when none has come for `LATEST_S`.

    Counted on the monotonic clock: one that is set must not hide it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.monotonic() + LATEST_S

    def finished(self) -> None:
        """Note a run after which nothing is left that should be gone."""
        self._since_s = self._clock.monotonic() + LATEST_S

    def failed(self) -> None:
        """Note a run that could not finish."""
        self._since_s = min(self._since_s, self._clock.monotonic())

    def seconds(self) -> float:
        """Return for how long forgetting has been behind; 0 while it is up to date."""
        return max(0.0, self._clock.monotonic() - self._since_s)
