"""Sealed entries read back one by one: a damaged one is passed over, and counted for the person's status."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Generic, TypeVar

from forewarn_client.diary.vault import DaySeal, Forgotten, Vault, day_from, day_number
from forewarn_protocol.errors import BadInput

T = TypeVar("T")

_EVER: Final = date(1970, 1, 1)
_PAGE: Final = 16
"""Entries read at a time. Outside a transaction nothing is held between two pages: no reader keeps what is being
forgotten in the log for longer than one takes."""


@dataclass(frozen=True, slots=True)
class Entries(Generic[T]):
    """A table of entries: what they were sealed as, and how one is read; `decode` raises BadInput if it cannot."""

    table: str
    context: bytes
    decode: Callable[[date, bytes], T]

    def read(
        self, connection: sqlite3.Connection, vault: Vault, since: date = _EVER, until: date = date.max
    ) -> Iterator[T]:
        """Yield what can be read of these UTC days, day by day in the order in which it was stored.

        One damaged entry must not cost the person all the others. Nor is one of a day just forgotten an error: the
        day's key is destroyed first, its rows a moment later.

        Raises:
            Missing: the diary was written with another device key.
        """
        return (entry for entry in self._each(connection, vault, since, until) if entry is not None)

    def count_damaged(
        self, connection: sqlite3.Connection, vault: Vault, since: date = _EVER, until: date = date.max
    ) -> int:
        """Return how many entries `read` passes over because they are damaged."""
        return sum(entry is None for entry in self._each(connection, vault, since, until))

    def days(self, connection: sqlite3.Connection) -> set[date]:
        """Return the UTC days that have entries, damaged or not."""
        rows = connection.execute(
            f"SELECT DISTINCT day FROM {self.table} WHERE day BETWEEN ? AND ?",  # noqa: S608 - our own constants
            (day_number(_EVER), day_number(date.max)),
        )
        return {day_from(number) for (number,) in rows}

    def _each(self, connection: sqlite3.Connection, vault: Vault, since: date, until: date) -> Iterator[T | None]:
        seals: dict[int, DaySeal] = {}
        for number, sealed in self._rows(connection, since, until):
            day = day_from(number)
            try:
                if number not in seals:
                    seals[number] = vault.day(connection, day)
                yield self.decode(day, seals[number].unseal(sealed, self.context))
            except Forgotten:
                continue
            except BadInput:
                yield None

    def _rows(self, connection: sqlite3.Connection, since: date, until: date) -> Iterator[tuple[int, bytes]]:
        # In the order of the index of days: nothing is sorted, and of earlier days nothing is looked at.
        select = (
            f"SELECT day, rowid, sealed FROM {self.table} "  # noqa: S608 - our own constants
            "WHERE (day, rowid) > (?, ?) AND day <= ? ORDER BY day, rowid LIMIT ?"
        )
        number, row = day_number(since), -1
        while page := connection.execute(select, (number, row, day_number(until), _PAGE)).fetchall():
            for number, row, sealed in page:  # noqa: B007 - the next page begins after the last row
                yield number, sealed
