"""Which tasks hold virtual time: the bookkeeping behind `VirtualClock`, kept by the event loop's task factory."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Record:
    parent: asyncio.Task[Any] | None
    is_main: bool
    has_slept: bool = False
    asleep: bool = False
    living_children: int = 0

    @property
    def holds_time(self) -> bool:
        if self.asleep:
            return False
        return self.has_slept if self.is_main else self.living_children == 0


class WatchedTasks:
    """The tasks of one event loop that a virtual clock waits for; `holding` are those that it waits for now.

    `released` is called each time one of them stops holding.
    """

    def __init__(self, released: Callable[[], None]) -> None:
        self.holding: set[asyncio.Task[Any]] = set()
        self._released = released
        self._records: dict[asyncio.Task[Any], _Record] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def join_running_loop(self) -> None:
        """Watch the tasks that the running loop makes from now on; without a running loop, do nothing yet."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if loop is self._loop:
            return
        self._loop = loop
        self._records.clear()
        self.holding.clear()
        former = loop.get_task_factory() or _plain_task

        def factory(
            loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **kw: Any
        ) -> asyncio.Future[Any]:
            made = former(loop, coroutine, **kw)
            if isinstance(made, asyncio.Task):
                self._is_born(made)
            return made

        loop.set_task_factory(factory)
        if (task := asyncio.current_task()) is not None:
            self._watch(task, parent=None, is_main=True)

    def falls_asleep(self, task: asyncio.Task[Any]) -> None:
        """Note that a task sleeps on the clock; from now on it is watched if it was not."""
        record = self._records.get(task) or self._watch(task, parent=None, is_main=False)
        record.asleep = record.has_slept = True
        self._review(task, record)
        self._released()  # also for a task that held nothing before: there is a new deadline

    def wakes_up(self, task: asyncio.Task[Any]) -> None:
        """Note that a task no longer sleeps: it was woken, or cancelled."""
        if (record := self._records.get(task)) is not None:
            record.asleep = False
            self._review(task, record)

    def _is_born(self, task: asyncio.Task[Any]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # made by a Runner before the loop runs: a main task
            self._watch(task, parent=None, is_main=True)
            return
        parent = asyncio.current_task()
        if parent in self._records:  # a callback (None) or a stranger starts what nobody here waits for by itself
            self._watch(task, parent=parent, is_main=False)

    def _watch(self, task: asyncio.Task[Any], *, parent: asyncio.Task[Any] | None, is_main: bool) -> _Record:
        record = self._records[task] = _Record(parent, is_main)
        if parent is not None:
            above = self._records[parent]
            above.living_children += 1
            self._review(parent, above)
        self._review(task, record)
        task.add_done_callback(self._has_ended)
        return record

    def _has_ended(self, task: asyncio.Task[Any]) -> None:
        record = self._records.pop(task, None)
        if record is None:
            return
        # The parent first: between its child's end and its own next step it is the one who holds the time.
        if record.parent is not None and (above := self._records.get(record.parent)) is not None:
            above.living_children -= 1
            self._review(record.parent, above)
        if task in self.holding:
            self.holding.remove(task)
            self._released()

    def _review(self, task: asyncio.Task[Any], record: _Record) -> None:
        if record.holds_time:
            self.holding.add(task)
        elif task in self.holding:
            self.holding.remove(task)
            self._released()


def _plain_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **kw: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **kw)
