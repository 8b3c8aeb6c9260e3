"""Forget the days that are over: destroy their keys, delete what they sealed, wipe the pages both lay on."""

import sqlite3
from datetime import date, timedelta
from typing import Final

from forewarn_client import erasures
from forewarn_client.board import FORGETTING_OVERDUE_SINCE, note, read_all
from forewarn_client.device import RESERVE_FILE, Device
from forewarn_client.diary.database import DiskFull
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.diary.vault import Vault, day_from, day_number
from forewarn_protocol.intervals import INTERVAL_S, day_at, first_interval
from forewarn_shell.reserve import Reserve

_DAY_S: Final = 86_400
KEPT_DAYS: Final = 14
"""Whole UTC days before today. Keys are published for 14 days: an older sighting can match nothing any more."""
RESERVE_BYTES: Final = 128 * 1024
"""Enough to write that some keys are destroyed, whatever else fills the disk."""
MAY_LAG_S: Final = 3 * 3600
"""After the midnight at which a day is due: a running daemon comes for it about once an hour."""

_TABLES: Final = ("day_keys", *DAILY_TABLES)


async def forget(device: Device) -> bool:
    """Forget every UTC day that is certainly more than 14 days ago; return whether nothing that is due is left.

    The keys are destroyed on a full disk too; the rest then waits for space.

    False: another process still reads the old pages, or the clock has jumped ahead and nothing confirms it yet; the
    next call tries again.
    """
    verdict = await device.trust.look()
    first_kept = kept_from(verdict.reached_s)
    reserve = Reserve(device.settings.data / RESERVE_FILE, RESERVE_BYTES)
    if await device.database.read(_is_due, first_kept):
        # The keys first, as a transaction of their own: from here on the rest is noise, whatever happens to it.
        try:
            await device.database.write(_destroy_keys, device.vault, first_kept, verdict.reached_s)
        except DiskFull:
            reserve.release()
            await device.database.write(_destroy_keys, device.vault, first_kept, verdict.reached_s)
        await device.database.empty_log()
        await device.database.write(_delete_rows, first_kept)
        if not await device.database.wipe_free_pages():
            return False
        await device.database.write(_note_done, day_at(verdict.reached_s))
    reserve.hold()
    return not await device.database.read(_holds_days_before, kept_from(verdict.now_s))


def first_kept_day(connection: sqlite3.Connection, device: Device) -> date:
    """Return the oldest UTC day that is not to be forgotten yet, inside a transaction that is open."""
    return kept_from(device.trust.weigh_within(connection).reached_s)


def kept_from(unix_s: float) -> date:
    """Return the oldest UTC day that is still kept at a time."""
    return day_at(max(unix_s - KEPT_DAYS * _DAY_S, 0.0))


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
    return FORGETTING_OVERDUE_SINCE in read_all(connection) or _holds_days_before(connection, first_kept)


def _holds_days_before(connection: sqlite3.Connection, day: date) -> bool:
    return any(
        connection.execute(f"SELECT 1 FROM {table} WHERE day < ? LIMIT 1", (day_number(day),)).fetchone()  # noqa: S608 - our own constants
        for table in _TABLES
    )


def _destroy_keys(connection: sqlite3.Connection, vault: Vault, first_kept: date, now_s: float) -> None:
    days = vault.forget_before(connection, first_kept)
    if FORGETTING_OVERDUE_SINCE not in read_all(connection):
        note(connection, FORGETTING_OVERDUE_SINCE, now_s)
    erasures.record(connection, day_at(now_s), first_kept, days)


def _delete_rows(connection: sqlite3.Connection, first_kept: date) -> None:
    for table in DAILY_TABLES:
        connection.execute(f"DELETE FROM {table} WHERE day < ?", (day_number(first_kept),))  # noqa: S608 - our own constants


def _note_done(connection: sqlite3.Connection, today: date) -> None:
    note(connection, FORGETTING_OVERDUE_SINCE, None)
    erasures.record_overwritten(connection, today)
