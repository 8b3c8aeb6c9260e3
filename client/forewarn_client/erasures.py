"""The record of forgetting: on which UTC day what came before which day was forgotten, and when it was overwritten.

No counts and no times of day: a count of rows would tell how many people were met on a day that is meant to be gone.
A row is written only where there was something to forget, as there is for every day on which the daemon ran.
"""

import sqlite3
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from forewarn_client.diary.vault import day_from, day_number

RECORDED_DAYS: Final = 90
"""The record is itself forgotten after that many UTC days."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What the runs of one UTC day forgot: everything before `first_kept`; gone from the files since `overwritten`."""

    day: date
    first_kept: date
    overwritten: date | None

    def as_json(self) -> dict[str, Any]:
        """Return the record for a program; days are ISO 8601."""
        return {
            "day": self.day.isoformat(),
            "forgotten_before": self.first_kept.isoformat(),
            "overwritten": None if self.overwritten is None else self.overwritten.isoformat(),
        }


def record(connection: sqlite3.Connection, today: date, first_kept: date) -> None:
    """Note inside an open transaction that what came before `first_kept` is forgotten, and not yet overwritten."""
    connection.execute(
        "INSERT OR REPLACE INTO erasures (day, first_kept, overwritten) VALUES (?, ?, NULL)",
        (day_number(today), day_number(first_kept)),
    )


def record_overwritten(connection: sqlite3.Connection, today: date) -> None:
    """Note inside an open transaction that whatever was forgotten so far is in no file any more."""
    connection.execute("UPDATE erasures SET overwritten = ? WHERE overwritten IS NULL", (day_number(today),))
    connection.execute("DELETE FROM erasures WHERE day <= ?", (day_number(today) - RECORDED_DAYS,))


def recorded(connection: sqlite3.Connection) -> list[Erasure]:
    """Return the record, oldest day first."""
    return [
        Erasure(day_from(day), day_from(first_kept), None if overwritten is None else day_from(overwritten))
        for day, first_kept, overwritten in connection.execute(
            "SELECT day, first_kept, overwritten FROM erasures ORDER BY day"
        )
    ]
