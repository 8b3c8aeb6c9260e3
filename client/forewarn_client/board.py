"""What each job last did and what is wrong with it, kept for the person's commands in another process."""

import json
import sqlite3
from typing import Final

from forewarn_client.diary.database import Database
from forewarn_shell.clock import Clock

JsonValue = str | int | float | bool | dict[str, "JsonValue"] | list["JsonValue"] | None


class StatusBoard:
    """Named JSON values. Times are Unix seconds.

    Names in use: last_scan_s, last_download_s, last_match_s, clock (fetching's comparison with the server),
    job:NAME (a fault's sentence, absent while all is well), forgetting_overdue_since_s.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._written_s: dict[str, float] = {}

    async def note(self, name: str, value: JsonValue, *, at_most_every_s: float = 0) -> None:
        """Keep a value; None removes it. With `at_most_every_s`, a value soon after the last one is dropped."""
        now = self._clock.monotonic()
        if at_most_every_s and now - self._written_s.get(name, -at_most_every_s) < at_most_every_s:
            return
        await self._database.write(note, name, value)
        self._written_s[name] = now

    async def read(self) -> dict[str, JsonValue]:
        """Return all values by name."""
        return await self._database.read(read_all)


def note(connection: sqlite3.Connection, name: str, value: JsonValue) -> None:
    """Keep a value inside a transaction that is already open; None removes it."""
    if value is None:
        connection.execute("DELETE FROM status WHERE name = ?", (name,))
    else:
        connection.execute("INSERT OR REPLACE INTO status (name, value) VALUES (?, ?)", (name, json.dumps(value)))


def read_all(connection: sqlite3.Connection) -> dict[str, JsonValue]:
    """Return all values inside a transaction that is already open."""
    return {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM status")}


SOON_ENOUGH_S: Final = 600.0
"""A scan without neighbours costs no write: the time of the last scan may lag this much."""
