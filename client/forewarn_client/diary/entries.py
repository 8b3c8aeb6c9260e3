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


@dataclass(frozen=True, slots=True)
class Entries(Generic[T]):
    """A table of entries: what they were sealed as, and how one is read; `decode` raises BadInput if it cannot."""

    table: str
    context: bytes
    decode: Callable[[date, bytes], T]

    def read(
        self, connection: sqlite3.Connection, vault: Vault, since: date = _EVER, until: date = date.max
    ) -> Iterator[T]:
        """Yield what can be read of these UTC days, in the order in which it was stored.

        One damaged entry must not cost the person all the others. Nor is one of a day just forgotten an error: the
        day's key is destroyed first, its rows a moment later.

        Raises:
            Missing: the diary was written with another device key.
        """
        return (entry for entry in self._each(connection, vault, since, until) if entry is not None)

    def count_damaged(self, connection: sqlite3.Connection, vault: Vault) -> int:
        """Return how many entries `read` passes over because they are damaged."""
        return sum(entry is None for entry in self._each(connection, vault, _EVER, date.max))

    def _each(self, connection: sqlite3.Connection, vault: Vault, since: date, until: date) -> Iterator[T | None]:
        rows = connection.execute(
            f"SELECT day, sealed FROM {self.table} WHERE day BETWEEN ? AND ? ORDER BY rowid",  # noqa: S608 - our own constants
            (day_number(since), day_number(until)),
        )
        seals: dict[int, DaySeal] = {}
        for number, sealed in rows:
            day = day_from(number)
            try:
                if number not in seals:
                    seals[number] = vault.day(connection, day)
                yield self.decode(day, seals[number].unseal(sealed, self.context))
            except Forgotten:
                continue
            except BadInput:
                yield None
