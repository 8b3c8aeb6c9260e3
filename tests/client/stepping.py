"""Counts every step of every task that a running loop makes, and does something before a chosen one."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class Steps:
    """How many steps were made; before step number `at`, `act` is called."""

    def __init__(self) -> None:
        self.made = 0
        self.at: int | None = None
        self.act: Callable[[], object] = lambda: None

    def make(self) -> None:
        self.made += 1
        if self.made == self.at:
            self.act()


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted."""

    def __init__(self, inner: Coroutine[Any, Any, Any] | Generator[Any, None, Any], steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def send(self, value: Any) -> Any:
        self._steps.make()
        return self._inner.send(value)

    def throw(self, kind: Any, value: BaseException | None = None, traceback: TracebackType | None = None, /) -> Any:
        self._steps.make()
        return self._inner.throw(kind if value is None else value.with_traceback(traceback))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("only a task runs this")


@contextmanager
def counting() -> Iterator[Steps]:
    """Count the steps of the tasks that are made in the block."""
    loop = asyncio.get_running_loop()
    former = loop.get_task_factory()
    assert former is not None, "a virtual clock has one"
    steps = Steps()
    loop.set_task_factory(lambda loop, coroutine, **given: former(loop, _Counted(coroutine, steps), **given))  # type: ignore[arg-type]  # as said above
    try:
        yield steps
    finally:
        loop.set_task_factory(former)
