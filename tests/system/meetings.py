"""Who is near whom, and when: a propagation model for tests of the loop, not of the radio."""

from dataclasses import dataclass

from forewarn_shell.clock import Clock

NEAR_DBM = -64
"""About half a metre in the open, for phones that say -20 dBm."""


@dataclass(frozen=True)
class Meeting:
    """Two phones side by side between two Unix times."""

    one: str
    other: str
    starts_s: float
    ends_s: float


class Meetings:
    """Only phones that meet hear each other, all at one strength: no noise, so that only the loop is tested."""

    def __init__(self, clock: Clock, meetings: list[Meeting]) -> None:
        self._epoch_s = clock.utc() - clock.monotonic()
        self._meetings = {frozenset((m.one, m.other)): [] for m in meetings}
        for meeting in meetings:
            self._meetings[frozenset((meeting.one, meeting.other))].append(meeting)

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        unix_s = self._epoch_s + monotonic_s
        met = self._meetings.get(frozenset((sender, receiver)), ())
        return NEAR_DBM if any(m.starts_s <= unix_s < m.ends_s for m in met) else None
