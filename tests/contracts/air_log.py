"""What was on the air, and what a listener who heard all of it could learn of a device: values and pure functions.

Times are monotonic seconds of one machine. A log is made by virtual controllers, in this process or in a virtual
machine, or of what a radio heard.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from forewarn_protocol.advertisement import SERVICE_DATA_BYTES

MOST_BYTES: Final = 31
LEAST_GAPS_SPREAD_S: Final = 0.5
"""Ten gaps drawn evenly from 4 s lie within half a second of each other once in ten million logs; fixed ones do."""
LEAST_INTERVALS_SPREAD_S: Final = 0.02
"""Twelve intervals drawn evenly from 200 to 270 ms lie within 20 ms once in 80,000 logs; the medians of a fixed one do,
whatever up to 10 ms a controller adds to each."""
LEAST_SENT: Final = 8
LATE_S: Final = 0.3
"""An advertisement so shortly before a window's end may arrive after it, on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One advertisement on the air; the address begins with its most significant byte."""

    at_s: float
    sender: str
    address: bytes
    data: bytes
    connectable: bool = False

    @property
    def identifier(self) -> bytes:
        """What a listener knows a device by: the service data, which comes last."""
        return self.data[-SERVICE_DATA_BYTES:]


@dataclass(frozen=True, slots=True)
class Stay:
    """An identifier's time on the air: each moment at which it was sent."""

    identifier: bytes
    times_s: list[float]

    @property
    def interval_s(self) -> float:
        """The median, which a machine that was busy for a moment does not move."""
        return median(after - before for before, after in pairwise(self.times_s))


@dataclass(frozen=True, slots=True)
class Window:
    """A scan window of a receiver: when it was open, and when what identifier was heard how strongly, in dBm."""

    opened_s: float
    closed_s: float
    heard: Sequence[tuple[float, str, int]]


@dataclass
class AirLog:
    """Everything sent in order of time; when each controller scanned; what it refused to do."""

    sent: list[Sent] = field(default_factory=list)
    scans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> "AirLog":
        """Read the lines that `tests.system.vm.controllers` writes."""
        log = cls()
        began_s: dict[str, float] = {}
        for line in text.splitlines():
            time, name, kind, *rest = line.split()
            at_s = float(time)
            match kind:
                case "speaks" | "speaks-connectably":
                    address, data = map(bytes.fromhex, rest)
                    log.sent.append(Sent(at_s, name, address, data, connectable=kind != "speaks"))
                case "scans":
                    began_s[name] = at_s
                case "rests" if name in began_s:
                    log.scans.setdefault(name, []).append((began_s.pop(name), at_s))
                case "refuses":
                    log.refused.append(f"{name} {rest[0]}")
        return log

    def offered(self, receiver: str, window: Window) -> list[Sent]:
        """Return what others sent in a window, but for its last moment, while the receiver's controller scanned."""
        last_s = window.closed_s - LATE_S
        scans = [(begins_s, min(ends_s - LATE_S, last_s)) for begins_s, ends_s in self.scans.get(receiver, ())]
        return [
            sent
            for sent in self.sent
            if sent.sender != receiver
            and window.opened_s <= sent.at_s < last_s
            and any(begins_s <= sent.at_s < ends_s for begins_s, ends_s in scans)
        ]


def arrived(offered: Sequence[Sent], window: Window) -> int:
    """Return how many of these advertisements came to the receiver, each report counting for one of them."""
    heard = sorted(window.heard)
    count = 0
    for sent in offered:
        report = next((r for r in heard if r[0] >= sent.at_s and r[1] == sent.identifier.hex()), None)
        if report is not None:
            heard.remove(report)
            count += 1
    return count


def by_sender(log: Sequence[Sent]) -> dict[str, list[Sent]]:
    """Return what each sent."""
    found = defaultdict(list)
    for sent in log:
        found[sent.sender].append(sent)
    return dict(found)


def lives(log: Sequence[Sent], births_s: Mapping[str, Sequence[float]]) -> dict[str, list[list[Sent]]]:
    """Return what each sender sent from one start of its daemon to the next."""
    found = {}
    for sender, all_sent in by_sender(log).items():
        bounds = [*sorted(births_s.get(sender, ())), float("inf")]
        cut = [[sent for sent in all_sent if begin <= sent.at_s < end] for begin, end in pairwise([0.0, *bounds])]
        found[sender] = [life for life in cut if life]
    return found


def stays(log: Sequence[Sent]) -> list[Stay]:
    """Return one sender's identifiers in order; one that came back is a stay of its own."""
    found: list[Stay] = []
    for sent in log:
        if not found or found[-1].identifier != sent.identifier:
            found.append(Stay(sent.identifier, []))
        found[-1].times_s.append(sent.at_s)
    return found


def gaps_s(life: Sequence[Sent]) -> list[float]:
    """Return the times from one identifier of a sender to the next."""
    return [after.times_s[0] - before.times_s[0] for before, after in pairwise(stays(life))]


def silences_s(life: Sequence[Sent]) -> list[float]:
    """Return how long a sender was off the air at each change of its identifier."""
    return [after.times_s[0] - before.times_s[-1] for before, after in pairwise(stays(life))]


def intervals_s(life: Sequence[Sent]) -> list[float]:
    """Return the interval of each identifier that was sent often enough to tell."""
    return [stay.interval_s for stay in stays(life) if len(stay.times_s) >= LEAST_SENT]


def links(log: Sequence[Sent]) -> list[str]:
    """Return how a listener could join two addresses or identifiers of a device; empty when it could not."""
    by_address, by_identifier = defaultdict(set), defaultdict(set)
    for sent in log:
        by_address[sent.address].add(sent.identifier)
        by_identifier[sent.identifier].add((sent.sender, sent.address))
    spoken = [stay.identifier for each in by_sender(log).values() for stay in stays(each)]
    checks = {
        "one address spoke two identifiers": any(len(found) > 1 for found in by_address.values()),
        "one identifier was spoken under two addresses": any(len(found) > 1 for found in by_identifier.values()),
        "an identifier came back after another": len(spoken) > len(set(spoken)),
    }
    return [fault for fault, is_so in checks.items() if is_so]


def faults(
    log: Sequence[Sent],
    births_s: Mapping[str, Sequence[float]],
    *,
    rotations: int,
    drawn_intervals: bool = True,
) -> list[str]:
    """Return all that is wrong with an air log of devices that were started at these times; empty when nothing is.

    A gap counts only within one life of a daemon: a restart makes gaps random by itself. `drawn_intervals`: whether
    the radio decides on its interval, which BlueZ does not always allow.
    """
    by_life = lives(log, births_s)
    gaps = {sender: [gap for life in found for gap in gaps_s(life)] for sender, found in by_life.items()}
    intervals = [interval for found in by_life.values() for life in found for interval in intervals_s(life)]
    checks = {
        "an address is not random and non-resolvable": any(sent.address[0] >> 6 for sent in log),
        "an advertisement is longer than 31 bytes": any(len(sent.data) > MOST_BYTES for sent in log),
        "an advertisement is connectable": any(sent.connectable for sent in log),
        f"a device rotated less than {rotations} times": not gaps
        or any(len(found) < rotations for found in gaps.values()),
        "the gaps between rotations are not random": _spread([gap for found in gaps.values() for gap in found])
        < LEAST_GAPS_SPREAD_S,
        "the intervals are not random": drawn_intervals and _spread(intervals) < LEAST_INTERVALS_SPREAD_S,
    }
    return links(log) + [fault for fault, is_so in checks.items() if is_so]


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0
