"""Processes to be killed: the real server and the real phone, forked from a parent that has imported them already."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.system.crashes.tracing import Plan, Trace, lines_of

PATIENCE_S = 30.0
"""Real seconds after which a child that says nothing is a defect, on however busy a machine."""

Entry = Callable[["Life"], None]

_warm = multiprocessing.get_context("forkserver")
_warm.set_forkserver_preload(["tests.system.crashes.entries"])


@dataclass(frozen=True)
class Life:
    """What one life of a process is given: data, time, what to switch off, and its trace and its line to the parent."""

    data: Path
    log: Path
    epoch_s: float
    factor: float
    unprotected: tuple[str, ...]
    settings: dict[str, Any]
    trace: Trace
    say: Callable[..., None]


class Child:
    """One process, and all that is known of it after its death."""

    def __init__(self, process: BaseProcess, line: Connection, log: Path) -> None:
        self.process = process
        self.log = log
        self._line = line
        self._is_dead = False
        self.born_s = time.monotonic()

    @classmethod
    async def start(
        cls,
        entry: Entry,
        data: Path,
        log: Path,
        *,
        epoch_s: float,
        factor: float = 1.0,
        plan: Plan | None = None,
        unprotected: tuple[str, ...] = (),
        **settings: Any,
    ) -> "Child":
        """Start `entry` in a process group of its own."""
        await asyncio.to_thread(log.touch)
        ours, theirs = _warm.Pipe()
        arguments = (entry, theirs, data, log, epoch_s, factor, plan, unprotected, settings)
        process = _warm.Process(target=_live, args=arguments, daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        return cls(process, ours, log)

    async def hear(self, what: str) -> Any:
        """Return what the child says under this name; None if it dies first."""
        while True:
            await _readable(self._line.fileno())
            try:
                name, value = self._line.recv()
            except (EOFError, ConnectionResetError):
                return None
            if name == what:
                return value

    async def arm(self, plan: Plan | None) -> bool:
        """Let it count its events anew, and die as planned; False if it is dead already."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._line.send(("arm", plan))
            return await self.hear("armed") is not None
        return False

    async def count(self) -> int:
        """Return how many events there were since it was armed."""
        self._line.send(("count", None))
        return int(await self.hear("count"))

    def kill(self) -> None:
        """Kill the whole process group."""
        pid = self.process.pid
        if self._is_dead or pid is None:
            return
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to having a group
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def dead(self, within_s: float = PATIENCE_S) -> bool:
        """Wait for its death; False if it outlives the time."""
        if self._is_dead:
            return True
        try:
            await _readable(self.process.sentinel, within_s)
        except TimeoutError:
            return False
        self.process.join()
        self._line.close()
        self._is_dead = True
        return True

    async def end(self) -> None:
        """Kill it, wherever it is, and wait until it is gone."""
        self.kill()
        assert await self.dead()

    def place_of_death(self) -> str:
        """Return before which event it was killed, or after which one, if the kill came from outside."""
        lines = lines_of(self.log)
        died = next((line["died"] for line in lines if "died" in line), None)
        if died is not None:
            return str(died)
        events = [line["event"] for line in lines if "event" in line]
        return f"some time after {events[-1]}" if events else "before anything"

    def said(self, what: str) -> list[dict[str, Any]]:
        """Return what it remembered under this name."""
        return [line for line in lines_of(self.log) if line.get("said") == what]


async def _readable(descriptor: int, within_s: float = PATIENCE_S) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        async with asyncio.timeout(within_s):
            await ready
    finally:
        loop.remove_reader(descriptor)


def _live(  # noqa: PLR0917 - what multiprocessing passes on
    entry: Entry,
    line: Connection,
    data: Path,
    log: Path,
    epoch_s: float,
    factor: float,
    plan: Plan | None,
    unprotected: tuple[str, ...],
    settings: dict[str, Any],
) -> None:
    os.setsid()
    # The folder above, too: that a data folder is there is a promise of its own.
    trace = Trace(data.parent, log, plan)
    lock = threading.Lock()

    def say(name: str, value: Any = True) -> None:  # noqa: FBT002 - that it is said may be all
        with lock:
            line.send((name, value))

    threading.Thread(target=_obey, args=(line, trace, say), daemon=True).start()
    trace.install()
    entry(Life(data, log, epoch_s, factor, unprotected, settings, trace, say))


def _obey(line: Connection, trace: Trace, say: Callable[..., None]) -> None:
    while True:
        try:
            command, plan = line.recv()
        except (EOFError, ConnectionResetError):
            os._exit(1)  # whoever started this process is gone
        if command == "arm":
            trace.arm(plan)
            say("armed")
        else:
            say("count", trace.count)
