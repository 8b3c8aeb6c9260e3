"""Decides which waiting keys go into export files and when; values and arithmetic only.

The three promises of a file (PROTOCOL.md, 'Export files'): no key in it can still be replayed (embargo), a reader
cannot tell how many people reported (padding), and one person's keys seldom stand alone (the mix).
"""

from dataclasses import dataclass

from forewarn_protocol.intervals import INTERVAL_S
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_server.hours import hour_of


@dataclass(frozen=True, slots=True)
class SealingRules:
    """How long keys wait, and how large a file is: seconds, publishes, keys."""

    embargo_s: int
    minimum_reports: int
    maximum_wait_s: int
    padded_keys: int
    maximum_keys: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Keys that may be released: how many, of how many publishes, and since when the longest one waits."""

    keys: int
    reports: int
    since_s: int | None


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file of a batch: its share of the waiting keys, and the random ones added to them."""

    keys: int
    padding: int


def releasable_s(tek: TemporaryExposureKey, received_s: int, embargo_s: int) -> int:
    """Return from when on a key may be published: after its embargo, and not before the hour in which it came.

    The embargo counts from the key's own end, so a key cut short waits two hours and not until midnight. Before that
    a stranger could speak the key's identifiers, and devices would believe them (PROTOCOL.md, attack 6).
    """
    return max(tek.end * INTERVAL_S + embargo_s, hour_of(received_s))


def due(waiting: Waiting, rules: SealingRules, now_s: int) -> bool:
    """Tell whether the waiting keys are sealed now: enough publishes mix, or the longest wait is over.

    The wait counts from the full hour, because seals come hourly: counted to the minute, a key that became free at ten
    past would wait until the seal after its last hour.
    """
    if waiting.since_s is None or waiting.keys == 0:
        return False
    return waiting.reports >= rules.minimum_reports or now_s - hour_of(waiting.since_s) >= rules.maximum_wait_s


def files(keys: int, revised_keys: int, rules: SealingRules) -> list[FilePlan]:
    """Share the keys out to as few files as the maximum allows, evenly; nothing waiting makes no file.

    Revised keys all stand in the first file and are not padded: each of them has already been published once.
    """
    if keys + revised_keys == 0:
        return []
    count = max(1, -(-keys // rules.maximum_keys))
    shares = [keys // count + (place < keys % count) for place in range(count)]
    # Without a real key there is nothing to copy from, and a file of revised keys hides no number.
    return [FilePlan(share, max(0, rules.padded_keys - share) if share else 0) for share in shares]
