"""Which fault strikes a device when: drawn from a seed, for a fortnight; each says what it excuses."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

DAY_S = 86_400.0
HOUR_S = 3600.0
MINUTE_S = 60.0

# How long each kind lasts, in seconds.
LASTS_S = {
    "adapter gone": (30.0, 3 * HOUR_S),
    "rfkill": (30.0, HOUR_S),
    "adapter missing at start": (MINUTE_S, 2 * HOUR_S),
    "registration refused": (MINUTE_S, HOUR_S),
    "another scanner": (MINUTE_S, HOUR_S),
    "bluetoothd restarted": (1.0, 20.0),
    "suspend that is told": (10.0, 6 * HOUR_S),
    "suspend that nobody tells": (10.0, 6 * HOUR_S),
    "small clock step": (10 * MINUTE_S, 6 * HOUR_S),
    "large clock step": (10 * MINUTE_S, 6 * HOUR_S),
    "SIGTERM": (1.0, 5 * MINUTE_S),
    "kill": (1.0, 5 * MINUTE_S),
    "disk full": (10 * MINUTE_S, 3 * HOUR_S),
}
SERVER_AWAY = "server away"
SERVER_AWAY_S = (6 * HOUR_S, 3.5 * DAY_S)
MEAN_GAP_S = 2.5 * HOUR_S
_EXCUSES_NOTHING = frozenset({SERVER_AWAY, "small clock step"})


@dataclass(frozen=True)
class Fault:
    """One fault, in monotonic seconds."""

    kind: str
    begins_s: float
    ends_s: float

    @property
    def excuses(self) -> bool:
        """Whether a device may be deaf or mute while it lasts."""
        return self.kind not in _EXCUSES_NOTHING


def drawn(random: Random, days: float, kinds: list[str]) -> list[Fault]:
    """Return a fault at a time, of each kind equally often, and beside them a server that is away for days."""
    faults = list(_of_the_device(random, days, kinds))
    if SERVER_AWAY in kinds:
        begins_s = random.uniform(0.5, 3) * DAY_S
        while (ends_s := begins_s + random.uniform(*SERVER_AWAY_S)) < days * DAY_S:
            faults.append(Fault(SERVER_AWAY, begins_s, ends_s))
            begins_s = ends_s + random.uniform(0.5, 3) * DAY_S
    return sorted(faults, key=lambda fault: fault.begins_s)


def _of_the_device(random: Random, days: float, kinds: list[str]) -> Iterator[Fault]:
    order: list[str] = []
    begins_s = HOUR_S
    while True:
        if not order:
            order = [kind for kind in kinds if kind in LASTS_S]
            random.shuffle(order)
        kind = order.pop()
        shortest_s, longest_s = LASTS_S[kind]
        ends_s = begins_s + shortest_s * (longest_s / shortest_s) ** random.random()  # as often seconds as hours
        if ends_s > days * DAY_S - HOUR_S:
            return
        yield Fault(kind, begins_s, ends_s)
        begins_s = ends_s + random.expovariate(1 / MEAN_GAP_S)
