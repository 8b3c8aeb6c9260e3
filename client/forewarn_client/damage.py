"""How many entries of the diary can no longer be read: all are read to count them, and the count is remembered."""

import sqlite3
from datetime import date
from typing import Final

from forewarn_client.alerts import ALERTS
from forewarn_client.anomalies import ANOMALIES
from forewarn_client.board import DAMAGED_ENTRIES
from forewarn_client.device import Device
from forewarn_client.diary.store import SCAN_WINDOWS
from forewarn_client.diary.vault import Vault
from forewarn_client.matches import MATCHES
from forewarn_client.withdrawals import WITHDRAWALS

_KINDS: Final = (SCAN_WINDOWS, MATCHES, ANOMALIES, ALERTS, WITHDRAWALS)


async def count(device: Device) -> int:
    """Return how many entries of any kind are passed over; it takes seconds for a fortnight in a crowd.

    Day by day, so that whoever has something to write meanwhile need not wait for the whole diary.
    """
    days = await device.database.read(_days)
    return sum([await device.database.read(_count, device.vault, day) for day in sorted(days)])


async def remember(device: Device) -> None:
    """Count, and keep what was found for the next glance."""
    await device.status.note(DAMAGED_ENTRIES, await count(device) or None)


def _days(connection: sqlite3.Connection) -> set[date]:
    return {day for kind in _KINDS for day in kind.days(connection)}


def _count(connection: sqlite3.Connection, vault: Vault, day: date) -> int:
    return sum(kind.count_damaged(connection, vault, day, day) for kind in _KINDS)
