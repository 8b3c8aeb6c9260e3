"""What each job last did and what is wrong with it, kept for the person's commands in another process."""

import json
import sqlite3
from contextlib import suppress
from typing import Final

from forewarn_client.diary.database import Database
from forewarn_shell.clock import Clock

JsonValue = str | int | float | bool | dict[str, str] | None

# Times are Unix seconds.
LAST_SCAN: Final = "last_scan_s"
LAST_DOWNLOAD: Final = "last_download_s"
LAST_MATCH: Final = "last_match_s"
CLOCK_OFFSET: Final = "clock_offset_s"
"""The server's clock minus this device's, at the last download."""
CLOCK_SURE_PREFIX: Final = "clock_sure_s:"
"""Before a number that says how well the clock was kept: the last time of which the device was sure."""
MENDED_S: Final = "mended_s"
"""When the diary was found damaged and begun anew with what could be read of it."""
DAMAGED_ENTRIES: Final = "damaged_entries"
"""How many entries of the diary could not be read when the daemon last looked at all of them; absent: none."""
FORGETTING_OVERDUE_SINCE: Final = "forgetting_overdue_since_s"
LAST_BEEP: Final = "last_beep_s"
HOOK_TOLD: Final = "hook_told"
"""A digest of what the owner's own program was told last."""
STRANGE_SIGHTINGS: Final = "strange_sightings"
"""Kind of anomaly → few or many, as the last judging found; absent when there was none."""
PAUSED_UNTIL: Final = "paused_until_s"
"""Absent while there is no pause; true: until the person goes on."""
SILENT: Final = "silent"
"""True while a pause is in force: written by the daemon once nothing is on the air any more."""
FAULT_PREFIX: Final = "job:"
"""Before a job's name: the sentence of its fault, absent while all is well."""
FAULT_SINCE_PREFIX: Final = "fault_since_s:"
"""Before a job's name: since when it has had a fault, whatever the sentence was meanwhile."""

SCAN_MAY_LAG_S: Final = 900.0
"""A scan that heard nobody is noted only so often: an empty room costs no writes."""


class StatusBoard:
    """Named values in the diary's database, written by the jobs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._written_s: dict[str, float] = {}

    async def note(self, name: str, value: JsonValue, *, at_most_every_s: float = 0) -> None:
        """Keep a value; None removes it. With `at_most_every_s`, a value too soon after the last one is dropped."""
        now_s = self._clock.monotonic()
        last_s = self._written_s.get(name)
        if at_most_every_s and last_s is not None and now_s - last_s < at_most_every_s:
            return
        await self._database.write(note, name, value)
        self._written_s[name] = now_s

    async def note_fault(self, job: str, sentence: str | None) -> None:
        """Keep what is wrong with a job, and since when something is; None: nothing is any more."""
        await self._database.write(note_fault, job, sentence, self._clock.utc())

    async def clear_faults(self) -> None:
        """Forget the faults of an earlier run."""
        await self._database.write(_clear_faults)

    async def read(self) -> dict[str, JsonValue]:
        """Return all values by name."""
        return await self._database.read(read_all)


def note(connection: sqlite3.Connection, name: str, value: JsonValue) -> None:
    """Keep a value inside a transaction that is already open; None removes it."""
    if value is None:
        connection.execute("DELETE FROM status WHERE name = ?", (name,))
    else:
        connection.execute("INSERT OR REPLACE INTO status (name, value) VALUES (?, ?)", (name, json.dumps(value)))


def note_fault(connection: sqlite3.Connection, job: str, sentence: str | None, now_s: float) -> None:
    """Keep a job's fault inside a transaction that is already open; None removes it."""
    note(connection, FAULT_PREFIX + job, sentence)
    since = FAULT_SINCE_PREFIX + job
    if sentence is None:
        note(connection, since, None)
    elif since not in read_all(connection):
        note(connection, since, now_s)


def read_all(connection: sqlite3.Connection) -> dict[str, JsonValue]:
    """Return all values inside a transaction that is already open."""
    values = {}
    for name, value in connection.execute("SELECT name, value FROM status"):
        with suppress(ValueError):  # damaged: a job will write it anew
            values[name] = json.loads(value)
    return values


def _clear_faults(connection: sqlite3.Connection) -> None:
    for prefix in (FAULT_PREFIX, FAULT_SINCE_PREFIX):
        connection.execute("DELETE FROM status WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
