"""The encrypted store of what was heard: one sealed block per scan window, read back as sightings."""

import sqlite3
from collections.abc import Iterator
from datetime import date
from typing import Final

from forewarn_client.board import LAST_SCAN, note
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.database import Database
from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import Vault, day_number
from forewarn_protocol.intervals import day_at
from forewarn_protocol.sightings import Sighting

SCAN_WINDOWS: Final = Entries("scan_windows", b"scan window", lambda _, block: ScanWindow.decode(block))


class Diary:
    """Scan windows in, sightings out."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def record(self, window: ScanWindow) -> None:
        """Keep a scan window under the UTC day in which it opened; one without samples is not worth a row."""
        if window.bursts:
            await self._database.write(record, self._vault, window)

    async def sightings(self, since: date, until: date | None = None) -> list[Sighting]:
        """Return what was heard from the UTC day `since` on, to the end of `until`, in order of time."""
        return await self._database.read(sightings, self._vault, since, until)

    async def encounters_per_day(self, since: date) -> dict[date, int]:
        """Return how many different identifiers were heard on each UTC day that has any.

        A neighbour changes its identifier every 10 to 20 minutes: this counts meetings, not people.
        """
        return await self._database.read(encounters_per_day, self._vault, since)


def record(connection: sqlite3.Connection, vault: Vault, window: ScanWindow) -> None:
    """Keep a scan window, and when it was, inside a transaction that is already open."""
    day = day_at(window.start_s)
    sealed = vault.seal(connection, day, window.encode(), SCAN_WINDOWS.context)
    connection.execute("INSERT INTO scan_windows (day, sealed) VALUES (?, ?)", (day_number(day), sealed))
    note(connection, LAST_SCAN, window.start_s)


def windows(
    connection: sqlite3.Connection, vault: Vault, since: date, until: date | None = None
) -> Iterator[ScanWindow]:
    """Yield the scan windows of the UTC days from `since` to `until`, one at a time."""
    return SCAN_WINDOWS.read(connection, vault, since, until or date.max)


def sightings(connection: sqlite3.Connection, vault: Vault, since: date, until: date | None = None) -> list[Sighting]:
    """Return the sightings of the UTC days from `since` to `until` in order of time."""
    heard = [sighting for window in windows(connection, vault, since, until) for sighting in window.sightings()]
    heard.sort(key=lambda sighting: sighting.time_s)
    return heard


def encounters_per_day(connection: sqlite3.Connection, vault: Vault, since: date) -> dict[date, int]:
    """Return the number of different identifiers heard on each UTC day from `since` on."""
    heard: dict[date, set[bytes]] = {}
    for window in windows(connection, vault, since):
        heard.setdefault(day_at(window.start_s), set()).update(window.bursts)
    return {day: len(identifiers) for day, identifiers in sorted(heard.items())}
