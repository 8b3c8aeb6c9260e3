"""What a fortnight is held to: encounters that were lost outside the faults, identifiers, what the process holds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import combinations, pairwise
from operator import or_
from statistics import median

from forewarn_client.forgetting import KEPT_DAYS
from forewarn_client.radio.loopback import Transmission
from forewarn_protocol.advertisement import decode
from tests.system.soak.faults import DAY_S, Fault
from tests.system.soak.fortnight import Look

LONGEST_S = 300.0
"""An encounter of more than five minutes may not be lost."""
RECOVERY_S = 60.0 + 30.0 + 1.0
"""After a fault: the longest back-off of the radio's jobs, and the wait of a fresh start before its first window."""
WINDOW_S = 4.0
NOTICE_SUSPEND_S = 31.0
CALM_S = 2 * 3600.0
"""A daemon forgets about each hour, and waits half an hour at most after a fault."""

Stretch = tuple[float, float]


def excused(faults: Iterable[Fault]) -> list[Stretch]:
    """Return when the device may be deaf and mute: from a fault's beginning to its end and the recovery after it."""
    return [(fault.begins_s, fault.ends_s + RECOVERY_S) for fault in faults if fault.excuses]


def outside(stretch: Stretch, excuses: Iterable[Stretch]) -> Iterator[Stretch]:
    """Yield the parts of a stretch that nothing excuses and that are long enough not to be lost."""
    at_s, end_s = stretch
    for begins_s, ends_s in [*sorted(excuses), (end_s, end_s)]:
        if at_s < begins_s and min(begins_s, end_s) - at_s > LONGEST_S + WINDOW_S:
            yield at_s, min(begins_s, end_s)
        at_s = max(at_s, ends_s)


def unheard(stretches: Iterable[Stretch], kept: Iterable[float]) -> list[Stretch]:
    """Return the stretches of which the diary holds nothing; `kept`: when windows opened whose hearings it holds."""
    times = sorted(kept)
    return [(begins_s, ends_s) for begins_s, ends_s in stretches if not any(begins_s <= t <= ends_s for t in times)]


def mute(stretches: Iterable[Stretch], sent: list[Transmission]) -> list[Stretch]:
    """Return the stretches in which the device was silent for so long that nobody's scan need have heard it."""
    found = []
    for begins_s, ends_s in stretches:
        on_air = [(t.starts_s, t.ends_s) for t in sent if t.starts_s < ends_s and t.ends_s > begins_s]
        edges = [begins_s, *(edge for times in on_air for edge in times), ends_s]
        silences = [after - before for before, after in list(pairwise(edges))[::2]]
        if max(silences) > LONGEST_S:
            found.append((begins_s, ends_s))
    return found


def spoken_twice(sent: Iterable[Transmission]) -> int:
    """Return how many identifiers were on the air more than once: under two addresses, or again under one."""
    return sum(count > 1 for count in Counter(decode(t.advertisement).rpi for t in sent).values())


def addresses_twice(sent: Iterable[Transmission]) -> int:
    return sum(count > 1 for count in Counter(t.address for t in sent).values())


def spoken_across(faults: Iterable[Fault], sent: list[Transmission]) -> list[Fault]:
    """Return the faults of the radio across which one identifier stayed on the air.

    A suspend of which nobody told ends it half a minute after waking; a clock that steps or a server that is away is
    none of the radio's.
    """
    ends = {"suspend that nobody tells": NOTICE_SUSPEND_S}
    struck = [f for f in faults if f.excuses and f.kind not in {"large clock step", "disk full"}]
    struck = [f for f in struck if f.kind not in {"registration refused", "another scanner"}]
    return [
        fault
        for fault in struck
        if any(t.starts_s < fault.begins_s and t.ends_s > fault.ends_s + ends.get(fault.kind, 0.0) for t in sent)
    ]


def worked_with_a_wrong_clock(faults: Iterable[Fault], times: Iterable[float]) -> list[float]:
    """Return the times, of windows opened or identifiers begun, at which the clock was hours or days off."""
    wrong = [(fault.begins_s, fault.ends_s) for fault in faults if fault.kind == "large clock step"]
    return [time_s for time_s in times if any(begins_s < time_s < ends_s for begins_s, ends_s in wrong)]


def growth_kb_a_day(looks: list[Look]) -> float:
    """Return how fast the resident memory grows: the median of the slopes between all pairs of noons."""
    return median((after[1] - before[1]) / (after[0] - before[0]) for before, after in _pairs(looks))


def _pairs(looks: list[Look]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    settled = list(enumerate(look.resident_kb for look in looks))[len(looks) // 3 :]
    return combinations(settled, 2)


def not_forgotten(looks: list[Look], faults: list[Fault]) -> list[Look]:
    """Return the noons at which a day was still there that should have gone, though there was calm since midnight."""
    found = []
    for look in looks:
        midnight_s = look.monotonic_s - DAY_S / 2
        calm = list(outside((midnight_s, look.monotonic_s), [(f.begins_s, f.ends_s) for f in faults if f.excuses]))
        is_due = any(ends_s - begins_s >= CALM_S for begins_s, ends_s in calm)
        if is_due and look.oldest_day < look.today - KEPT_DAYS:
            found.append(look)
    return found


def forgotten_too_early(looks: list[Look]) -> list[Look]:
    """Return the noons at which a day was gone that should be there: each of the fourteen before had an encounter."""
    return [look for look in looks if look.oldest_day > look.today - KEPT_DAYS]


def strays(looks: list[Look]) -> list[str]:
    """Return the tasks that a noon has more of than any of the first days' noons: a fault may lack some."""
    usual = reduce(or_, [Counter(look.tasks) for look in looks[: max(1, len(looks) // 3)]])
    return sorted({name for look in looks for name in Counter(look.tasks) - usual})
