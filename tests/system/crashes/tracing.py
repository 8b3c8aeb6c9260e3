"""Sees what a process makes durable, step by step, and kills it before the step that a plan names.

Every step that changes what the next life of the process will find is an event: a file opened for writing, synced,
renamed, linked or deleted, a folder made or synced, a statement of a writing transaction and its commit, an answer or
an identifier that is about to leave. An event is told before it happens, so a kill at event n falls between two steps,
and killing at each n meets every state that the process can leave behind.
"""

import itertools
import json
import os
import re
import signal
import sqlite3
import sqlite3.dbapi2
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

_STATEMENT = re.compile(
    r"(BEGIN IMMEDIATE|COMMIT|ROLLBACK|VACUUM|PRAGMA wal_checkpoint|PRAGMA synchronous = \w+"
    r"|INSERT(?: OR \w+)? INTO \w+|UPDATE \w+|DELETE FROM \w+|CREATE TABLE \w+)"
)
_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}")
_NUMBERS = re.compile(r"\d+(-\d+)+(?=\.zip)")
_ALWAYS_TOLD = ("VACUUM", "PRAGMA")
_WRITES = os.O_WRONLY | os.O_RDWR
MOMENT_S = 0.003
"""About as long as a commit takes, or a file of a thousand keys."""
INSIDE = 0.3
"""Share of the planned kills that come inside a step."""
FROM_OUTSIDE = 0.15
"""Share of the kills that come from outside at a random time instead of at an event."""


@dataclass(frozen=True)
class Plan:
    """Kill before the n-th event, counted from the first one whose name contains `after` (which counts as the first).

    With `later_s` the event begins, and the kill comes so many real seconds later: inside SQLite's commit, for example.
    """

    nth: int
    after: str = ""
    later_s: float = 0.0


@dataclass
class Aim:
    """Where kills fall: drawn at random; or, with `nth`, before that step of whatever is done."""

    random: Random
    nth: int | None = None

    def plan(self, steps: int, after: str = "") -> Plan:
        """Draw a kill at any of so many steps: before it, or a moment after it has begun."""
        if self.nth is not None:
            return Plan(self.nth, after)
        nth = self.random.randint(1, steps)
        return Plan(nth, after, self.random.uniform(0, MOMENT_S) if self.random.random() < INSIDE else 0.0)

    def is_from_outside(self) -> bool:
        """Tell whether the kill comes at a random time instead."""
        return self.nth is None and self.random.random() < FROM_OUTSIDE


@dataclass(frozen=True)
class Event:
    """One step, as a kind (`sync zip`) and with the path or statement it is about."""

    kind: str
    about: str = ""


class Trace:
    """The events of this process; each is a line of `log` before it happens."""

    def __init__(self, root: Path, log: Path, plan: Plan | None = None) -> None:
        self._root = str(root)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._plan = plan
        self._begun = False
        self._lock = threading.RLock()
        self._last: tuple[int, str] | None = None
        self._numbers = itertools.count(1)
        self._sync, self._connect = os.fsync, sqlite3.connect
        self.count = 0

    def install(self) -> None:
        """Watch this process from now on, for ever."""
        sys.addaudithook(self._audit)
        # Steps that raise no audit event, or one that comes before the connection can be asked anything.
        os.fsync = self._fsync
        sqlite3.connect = sqlite3.dbapi2.connect = self._connected

    def arm(self, plan: Plan | None) -> None:
        """Count anew, and kill as planned from now on."""
        with self._lock:
            self._plan, self._begun, self.count, self._last = plan, False, 0, None

    def tell(self, kind: str, about: str = "", *, by: int = 0) -> None:
        """Note that something is about to happen; the same step again and again, as for each row, is one event."""
        with self._lock:
            if self._last == (by, kind) and by:
                return
            self._last = (by, kind)
            self._write({"event": kind, "about": about})
            if kind.startswith("PRAGMA synchronous"):
                return  # told for those who read traces; it leaves nothing on the disk
            plan = self._plan
            self._begun = self._begun or (plan is not None and plan.after in kind)
            if plan is None or self._begun:
                self.count += 1
            if plan is not None and self._begun and self.count == plan.nth:
                self._die(kind, plan.later_s)

    def _die(self, kind: str, later_s: float) -> None:
        if not later_s:
            self._write({"died": f"before {kind}"})
            os.kill(os.getpid(), signal.SIGKILL)
        self._write({"died": f"inside or after {kind}"})
        threading.Timer(later_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def remember(self, what: str, **about: Any) -> None:
        """Keep a line that outlives this process: what it has acknowledged, spoken, told."""
        self._write({"said": what, **about})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._log, json.dumps(line).encode() + b"\n")

    def _fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._tell_path("sync folder" if path.is_dir() else "sync", str(path))
        self._sync(descriptor)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        act = self._AUDITED.get(event)
        if act is not None:
            act(self, *arguments)

    def _opened(self, path: Any, mode: Any, flags: int) -> None:
        del mode
        if isinstance(path, str | os.PathLike) and flags & _WRITES:
            self._tell_path("write", os.fspath(path))

    def _renamed(self, source: Any, target: Any, *_: Any) -> None:
        self._tell_path("rename", os.fspath(target), os.fspath(source))

    def _removed(self, path: Any, *_: Any) -> None:
        self._tell_path("delete", os.fspath(path))

    def _linked(self, source: Any, target: Any, *_: Any) -> None:
        self._tell_path("link", os.fspath(target), os.fspath(source))

    def _folder_made(self, path: Any, *_: Any) -> None:
        if not os.path.isdir(path):  # noqa: PTH112 - one that exists is asked for again and again
            self._tell_path("make folder", os.fspath(path))

    def _tell_path(self, act: str, path: str, *others: str) -> None:
        if path.startswith(self._root):
            self.tell(f"{act} {_kind_of(path)}", " ".join((path, *others)))

    def _connected(self, *arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = self._connect(*arguments, **named)
        connection.set_trace_callback(self._statements_of(next(self._numbers)))
        return connection

    def _statements_of(self, connection: int) -> Callable[[str], None]:
        writing = False

        def traced(statement: str) -> None:
            nonlocal writing
            found = _STATEMENT.match(statement)
            if found is None:
                return
            name = re.sub(r" OR \w+", "", found[0])
            writing = writing or name == "BEGIN IMMEDIATE"
            if writing or name.startswith(_ALWAYS_TOLD):
                # A read leaves nothing behind. What a statement holds stays out of the trace.
                self.tell(name, str(connection), by=connection)
            if name in {"COMMIT", "ROLLBACK"}:
                writing = False

        return traced

    _AUDITED = {  # noqa: RUF012 - a table
        "open": _opened,
        "os.rename": _renamed,
        "os.remove": _removed,
        "os.link": _linked,
        "os.mkdir": _folder_made,
    }


def _kind_of(path: str) -> str:
    folder, name = os.path.split(path)
    if left_over := _LEFT_OVER.fullmatch(name):
        return f"new {_kind_of(os.path.join(folder, left_over['name']))}"  # noqa: PTH118 - one string, one call
    return _NUMBERS.sub("*", name)


def events_of(log: Path) -> list[Event]:
    """Return what a process was about to do, in order."""
    return [Event(line["event"], line["about"]) for line in lines_of(log) if "event" in line]


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Return all lines of a trace; the last one may be cut off by a kill."""
    lines = log.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]
