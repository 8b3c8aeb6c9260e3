"""Forget the days that are over: destroy their keys, delete what they sealed, wipe the pages both lay on."""

import sqlite3
from datetime import date, timedelta
from typing import Final

from forewarn_client import erasures
from forewarn_client.board import FORGETTING_OVERDUE_SINCE, note, read_all
from forewarn_client.device import Device
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.diary.vault import Vault, day_from, day_number
from forewarn_protocol.intervals import INTERVAL_S, day_at, first_interval

KEPT_DAYS: Final = 14
"""Whole UTC days before today. Keys are published for 14 days: an older sighting can match nothing any more."""
MAY_LAG_S: Final = 3 * 3600
"""After the midnight at which a day is due: a running daemon comes for it about once an hour."""

_TABLES: Final = ("day_keys", *DAILY_TABLES)


async def forget(device: Device) -> bool:
    """Forget every UTC day more than 14 days ago; return whether nothing of them is left in the files.

    False: the pages could not be wiped while another process still read them; the next call tries again.
    """
    now_s = device.clock.utc()
    first_kept = first_kept_day(device)
    if not await device.database.read(_is_due, first_kept):
        return True
    # The keys first, as a transaction of their own: from here on the rest is noise, whatever happens to it.
    await device.database.write(_destroy_keys, device.vault, first_kept, now_s)
    await device.database.write(_delete_rows, first_kept)
    if not await device.database.wipe_free_pages():
        return False
    await device.database.write(_note_done, day_at(now_s))
    return True


def first_kept_day(device: Device) -> date:
    """Return the oldest UTC day that is not to be forgotten yet."""
    return day_at(device.clock.utc()) - timedelta(days=KEPT_DAYS)


def overdue_since_s(connection: sqlite3.Connection, now_s: float) -> float | None:
    """Return since when (Unix seconds) something should be gone that is not; None while forgetting is up to date.

    Either a run could not finish, or none came: the daemon stands still, or its forgetting fails.
    """
    noted = read_all(connection).get(FORGETTING_OVERDUE_SINCE)
    if isinstance(noted, int | float):
        return float(noted)
    oldest = [
        number
        for table in _TABLES
        for (number,) in connection.execute(f"SELECT min(day) FROM {table}")  # noqa: S608 - our own constants
        if number is not None
    ]
    if not oldest:
        return None
    due_s = first_interval(day_from(min(oldest)) + timedelta(days=KEPT_DAYS + 1)) * INTERVAL_S
    return float(due_s) if now_s > due_s + MAY_LAG_S else None


def _is_due(connection: sqlite3.Connection, first_kept: date) -> bool:
    number = day_number(first_kept)
    return FORGETTING_OVERDUE_SINCE in read_all(connection) or any(
        connection.execute(f"SELECT 1 FROM {table} WHERE day < ? LIMIT 1", (number,)).fetchone()  # noqa: S608 - our own constants
        for table in _TABLES
    )


def _destroy_keys(connection: sqlite3.Connection, vault: Vault, first_kept: date, now_s: float) -> None:
    vault.forget_before(connection, first_kept)
    if FORGETTING_OVERDUE_SINCE not in read_all(connection):
        note(connection, FORGETTING_OVERDUE_SINCE, now_s)
    erasures.record(connection, day_at(now_s), first_kept)


def _delete_rows(connection: sqlite3.Connection, first_kept: date) -> None:
    for table in DAILY_TABLES:
        connection.execute(f"DELETE FROM {table} WHERE day < ?", (day_number(first_kept),))  # noqa: S608 - our own constants


def _note_done(connection: sqlite3.Connection, today: date) -> None:
    note(connection, FORGETTING_OVERDUE_SINCE, None)
    erasures.record_overwritten(connection, today)
