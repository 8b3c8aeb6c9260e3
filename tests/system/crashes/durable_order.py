"""Reads a trace as a power cut would: whatever was not synced may be gone, though a kill alone would have left it.

A kill loses nothing that a process has written; a power cut loses what the system had not yet put on the disk. So the
order is checked instead of the result: data is synced before it gets its name, a folder is synced after a name in it
has changed, and both before anything is committed or published that relies on them. SQLite syncs its own files at each
commit with `synchronous = FULL`, and the folder with its first write-ahead log; that it is set is checked here, too.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.system.crashes.tracing import Event

_FULL = "PRAGMA synchronous = FULL"
_FEED_IS_NAMED = re.compile(r"rename (index|vn)\.json")
# What must not be committed while a name or a folder may still get lost.
_RELY_ON_FILES = {"UPDATE batches": "a batch counts as finished", "INSERT INTO day_keys": "a day's key is kept"}
# What may leave only after the commit that it tells of.
_TOLD_AFTER = {
    "answer /v1/publish": "INSERT INTO publishes",
    "answer /api/verify": "INSERT INTO tokens",
    "answer /api/certificate": "UPDATE tokens",
    "speak": "INSERT INTO own_keys",
}


@dataclass(frozen=True)
class _Order:
    """A change of names that must wait until another one is on the disk."""

    step: re.Pattern[str]
    first: re.Pattern[str]
    objection: str


_ORDERS = (
    _Order(
        re.compile(r"rename index\.json"), re.compile(r"\.zip$"), "an index is published before its files are there"
    ),
    _Order(re.compile(r"rename schedule\.json"), re.compile(r"/v\d+$"), "a schedule names a key before it is there"),
    _Order(
        re.compile(r"delete \*\.zip"), re.compile(r"index\.json$"), "a file goes before the index without it is there"
    ),
    _Order(re.compile(r"delete v\d+"), re.compile(r"schedule\.json$"), "a key goes before its schedule says so"),
)


@dataclass
class _Disk:
    """What a power cut would take away now, and what stands committed."""

    unsynced: set[str] = field(default_factory=set)
    unnamed: dict[str, str] = field(default_factory=dict)
    """By path whose name, new, changed or gone, is not on the disk: the folder that must be synced."""
    files: set[str] = field(default_factory=set)
    """Export files that are there for good."""
    open_transactions: dict[str, set[str]] = field(default_factory=dict)
    committed: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    full: set[str] = field(default_factory=set)
    disorders: list[str] = field(default_factory=list)

    def object_to(self, what: str) -> None:
        self.disorders.append(what)


def disorders(events: Sequence[Event]) -> list[str]:
    """Return each place at which a power cut would break a promise; the process must have come to rest at the end."""
    disk = _Disk()
    for event in events:
        act = event.kind.split(" ", maxsplit=1)[0]
        if act.isupper():
            _statement(disk, event)
        else:
            _file(disk, event)
    for path in disk.unsynced | disk.unnamed.keys():
        disk.object_to(f"never made durable: {os.path.basename(path)}")  # noqa: PTH119 - one string, one call
    return disk.disorders


def _statement(disk: _Disk, event: Event) -> None:
    connection, kind = event.about, event.kind
    if kind == _FULL:
        disk.full.add(connection)
    elif kind == "BEGIN IMMEDIATE":
        disk.open_transactions[connection] = set()
        if connection not in disk.full:
            disk.object_to("a transaction without synchronous = FULL")
    elif kind == "COMMIT":
        statements = disk.open_transactions.pop(connection, set())
        disk.committed.update(statements)
        if "UPDATE batches" in statements and disk.committed["UPDATE batches"] > len(disk.files):
            disk.object_to("a batch counts as finished before its file is there")
        for statement in statements & _RELY_ON_FILES.keys():
            for path in (*disk.unsynced, *disk.unnamed):
                disk.object_to(f"{_RELY_ON_FILES[statement]} before this is durable: {os.path.basename(path)}")  # noqa: PTH119
    elif connection in disk.open_transactions:
        disk.open_transactions[connection].add(kind)


def _file(disk: _Disk, event: Event) -> None:
    kind, (path, source) = event.kind, [*event.about.split(" "), ""][:2]
    if kind.startswith("write new"):
        disk.unsynced.add(path)
    elif kind.startswith("sync folder"):
        named = {name for name, folder in disk.unnamed.items() if folder == path}
        disk.files |= {name for name in named if name.endswith(".zip")}
        disk.unnamed = {name: folder for name, folder in disk.unnamed.items() if name not in named}
    elif kind.startswith("sync"):
        disk.unsynced.discard(path)
    elif kind.startswith(("rename", "link", "delete", "make folder")):
        _names_are_ordered(disk, kind, source)
        disk.unnamed[path] = os.path.dirname(path)  # noqa: PTH120 - one string, one call
    elif kind in _TOLD_AFTER:
        disk.told[kind] += 1
        if disk.committed[_TOLD_AFTER[kind]] < disk.told[kind]:
            disk.object_to(f"{kind} before the commit of {_TOLD_AFTER[kind]}")


def _names_are_ordered(disk: _Disk, kind: str, source: str) -> None:
    if source in disk.unsynced:
        disk.object_to(f"named before it is synced: {kind}")
        disk.unsynced.discard(source)
    if _FEED_IS_NAMED.fullmatch(kind):
        disk.told["feed"] += 1
        if disk.committed["INSERT INTO feeds"] < disk.told["feed"]:
            disk.object_to("a feed is published before its sequence is committed")
    for order in _ORDERS:
        if order.step.match(kind) and any(order.first.search(name) for name in disk.unnamed):
            disk.object_to(order.objection)
