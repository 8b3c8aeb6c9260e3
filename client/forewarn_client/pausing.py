"""A pause: the person lets the device fall silent and deaf for a while; whatever warns that person goes on.

The wish lies in the diary's database, so that it outlives a restart. Whoever writes it nudges the daemon, which then
looks: nothing is asked again and again.
"""

import asyncio
import math
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from forewarn_client.board import PAUSED_UNTIL, SILENT, JsonValue, read_all
from forewarn_client.device import Device
from forewarn_client.presence import nudge
from forewarn_client.radio import Radio
from forewarn_client.starting_over import demand_not_asked
from forewarn_protocol.errors import ForewarnError

UNTIL_RESUMED: Final = math.inf


def pause_of(value: JsonValue, now_s: float) -> float | None:
    """Return until when (Unix seconds) the device is paused by what the board holds; None: it is not."""
    if value is True:  # JSON knows no infinity
        return UNTIL_RESUMED
    return float(value) if isinstance(value, int | float) and value > now_s else None


def pause_within(connection: sqlite3.Connection, now_s: float) -> float | None:
    """Return the same inside a transaction that is open."""
    return pause_of(read_all(connection).get(PAUSED_UNTIL), now_s)


async def pause(device: Device, until_s: float) -> None:
    """Let the device fall silent until a time in Unix seconds, or `UNTIL_RESUMED`."""
    await device.status.note(PAUSED_UNTIL, True if until_s == UNTIL_RESUMED else until_s)
    nudge(device.settings.data)


async def resume(device: Device) -> None:
    """End a pause, if there is one."""
    if (await device.status.read()).get(PAUSED_UNTIL) is not None:
        await device.status.note(PAUSED_UNTIL, None)
        nudge(device.settings.data)


class Switch:
    """Lets what needs the radio work, except in a pause, and ends the daemon's work when an erasure is asked for."""

    def __init__(self) -> None:
        self._is_nudged = False
        self._wait: asyncio.Task[None] | None = None

    def look_again(self) -> None:
        """Look whether the person wants something else than before; a signal's handler may call this."""
        self._is_nudged = True
        if self._wait is not None:
            self._wait.cancel()

    async def run(
        self, device: Device, radio: Radio, work: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[None, None]:
        """Run `work` for ever, except in a pause; yields when it is known what the person wants.

        Raises:
            ErasureAsked: the person wants to start over.
        """
        while True:
            while (until_s := await self._look(device)) is not None:
                await device.status.note(SILENT, True)  # noqa: FBT003 - a JSON value
                yield
                await self._wait_for_nudge(device, until_s)
            await device.status.note(SILENT, None)
            yield
            async with asyncio.TaskGroup() as group:
                at_work = group.create_task(_run(work), name="forewarn-client on the air")
                await self._wait_for_nudge(device, UNTIL_RESUMED)
                at_work.cancel()
            # What `work` had on the air; a radio that is away has nothing there.
            with suppress(ForewarnError, OSError):
                await radio.stop_advertising()

    async def _look(self, device: Device) -> float | None:
        self._is_nudged = False  # before looking: what is written from here on nudges once more
        demand_not_asked(device.settings.data)
        return await device.database.read(pause_within, device.clock.utc())

    async def _wait_for_nudge(self, device: Device, until_s: float) -> None:
        """Return when somebody nudges, or when the clock shows `until_s`."""
        if self._is_nudged:
            return
        clock = device.clock
        deadline_s = clock.monotonic() + until_s - clock.utc()
        try:
            async with asyncio.TaskGroup() as group:  # ends with its task, and a nudge cancels that one alone
                self._wait = group.create_task(clock.sleep_until(deadline_s), name="forewarn-client waits")
        finally:
            self._wait = None


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
