"""The daily message: every device sends one of fixed size at a random moment of each UTC day, whatever it has to say.

So far none has anything to say: the message is random bytes, and so is its answer.
"""

import secrets
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import date, timedelta
from typing import Final

from forewarn_client.board import note, read_all
from forewarn_client.connection import connect
from forewarn_client.device import Device
from forewarn_client.timing import Timing
from forewarn_protocol.cover import DAILY_BYTES
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.intervals import day_at

DAILY_DAY: Final = "daily_day"
"""The UTC day whose message was sent or at least tried."""

_DAY_S: Final = 86_400.0


async def daily(device: Device, timing: Timing) -> AsyncGenerator[None, None]:
    """Send the message once a UTC day, for ever.

    A day is spent before its message leaves: whatever then happens to device or network, the same day has no second
    one, and a day whose message met no network has none. A device that was off at its moment draws another of the day.
    """
    clock = device.clock
    while True:
        now_s = clock.utc()
        is_spent = await device.database.read(_is_spent, day_at(now_s))
        midnight_s = now_s - now_s % _DAY_S + _DAY_S
        rest = (midnight_s, midnight_s + _DAY_S) if is_spent else (now_s, midnight_s)
        await clock.sleep_until(clock.monotonic() + timing.draw(rest) - now_s)
        # The clock may have been set meanwhile: what counts is the day on which the device wakes.
        if await device.database.write(_spend, day_at(clock.utc())):
            with suppress(ForewarnError):  # without a network there is no message, and nobody to see it missing
                await _send(device)
            yield


async def _send(device: Device) -> None:
    async with connect(device.settings.server, device.clock) as connection:
        message = secrets.token_bytes(DAILY_BYTES)
        await connection.post("/v1/daily", message, content_type="application/octet-stream")


def _spend(connection: sqlite3.Connection, today: date) -> bool:
    if _is_spent(connection, today):
        return False
    note(connection, DAILY_DAY, today.isoformat())
    return True


def _is_spent(connection: sqlite3.Connection, today: date) -> bool:
    spent = read_all(connection).get(DAILY_DAY)
    if not isinstance(spent, str):
        return False
    # Tomorrow is spent where the clock was set back a little; a day far ahead was never more than a wrong clock.
    return today <= date.fromisoformat(spent) <= today + timedelta(days=1)
