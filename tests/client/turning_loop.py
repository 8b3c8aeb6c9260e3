"""Proves that long work leaves the event loop free: the work is done only once the loop has had a turn meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def only_while_the_loop_turns(act: Callable[P, T], meanwhile: Callable[[], object] = lambda: None) -> Callable[P, T]:
    """Return `act` in a form that lets the running loop do `meanwhile` first, and fails where it cannot."""
    loop = asyncio.get_running_loop()

    def acting(*args: P.args, **kwargs: P.kwargs) -> T:
        done = threading.Event()

        def turn() -> None:
            meanwhile()
            loop.call_soon(done.set)  # a turn later, so that what `meanwhile` started has had its first step

        loop.call_soon_threadsafe(turn)
        if not done.wait(timeout=5):
            raise AssertionError("the event loop stands still")
        return act(*args, **kwargs)

    return acting
