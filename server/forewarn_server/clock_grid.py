"""The clock grid: answers to phones leave at multiples of a slot, so that no delay tells of the work behind it.

Real time throughout, never the injected clock: whoever measures an answer does it with a real stopwatch.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import Final

from aiohttp import web

from forewarn_server.context import CONTEXT

_random: Final = SystemRandom()


class ClockGrid:
    """Departures at the multiples of `slot_s` seconds; at 0, everything leaves at once."""

    def __init__(self, slot_s: float) -> None:
        self._slot_s = slot_s
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}

    async def departure(self, arrived_s: float) -> int:
        """Wait for the first multiple at least one slot after an arrival (on `time.perf_counter`), or the next to come.

        Returns which multiple it was, counted from the first possible one: 0 is in time, more is late.
        """
        if not self._slot_s:
            return 0
        first = math.ceil(arrived_s / self._slot_s + 1)
        # An event loop may keep its own time in a cache, which the work itself makes old: perf_counter does not.
        number = max(first, math.ceil(time.perf_counter() / self._slot_s))
        departing = asyncio.get_running_loop().create_future()
        together = self._waiting.setdefault(number, [])
        together.append(departing)
        if len(together) == 1:
            # Last: the multiple may be over by now, and all who wait for it leave here and now.
            self._wake_for(number)
        await departing
        return number - first

    def _wake_for(self, number: int) -> None:
        left_s = number * self._slot_s - time.perf_counter()
        if left_s > 0:
            asyncio.get_running_loop().call_later(left_s, self._wake_for, number)
            return
        # Those who leave together still leave one after the other, and were ready in the order of their work.
        departing = self._waiting.pop(number)
        _random.shuffle(departing)
        for one in departing:
            if not one.done():
                one.set_result(None)


GRID: Final = web.AppKey("grid", ClockGrid)
ANONYMOUS: Final = web.AppKey("anonymous", set[str])
"""The paths whose answers leave on the grid, whatever they say."""
_ARRIVED: Final = web.RequestKey("arrived", float)


def note_arrival(request: web.Request) -> None:
    """Say that a request is here whole: how long its body took is the network's doing and shown to it already."""
    request[_ARRIVED] = time.perf_counter()


@web.middleware
async def phones_are_answered_on_the_grid(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Hold back every answer under an anonymous path, refusals and faults too."""
    if not _is_anonymous(request.path, request.app[ANONYMOUS]):
        return await handler(request)
    note_arrival(request)
    response = await handler(request)
    late_slots = await request.app[GRID].departure(request[_ARRIVED])
    request.app[CONTEXT].metrics.note_departure(late_slots)
    return response


def _is_anonymous(path: str, anonymous: set[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in anonymous)
