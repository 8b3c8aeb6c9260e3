"""The record of forgetting: on which UTC day how many days before which one were forgotten, and when overwritten.

Days are counted, rows are not, and no time of day is kept: rows would tell how many people were met on a day that is
meant to be gone.
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
    """What the runs of one UTC day forgot: `days` days, all before `first_kept`; in no file since `overwritten`."""

    day: date
    first_kept: date
    days: int
    overwritten: date | None

    def as_json(self) -> dict[str, Any]:
        """Return the record for a program; days are ISO 8601."""
        return {
            "day": self.day.isoformat(),
            "forgotten_before": self.first_kept.isoformat(),
            "days": self.days,
            "overwritten": None if self.overwritten is None else self.overwritten.isoformat(),
        }


def record(connection: sqlite3.Connection, today: date, first_kept: date, days: int) -> None:
    """Note inside an open transaction that `days` days before `first_kept` are forgotten, and not yet overwritten."""
    connection.execute(
        "INSERT INTO erasures (day, first_kept, days, overwritten) VALUES (?, ?, ?, NULL) "
        "ON CONFLICT (day) DO UPDATE "
        "SET first_kept = excluded.first_kept, days = days + excluded.days, overwritten = NULL",
        (day_number(today), day_number(first_kept), days),
    )


def record_overwritten(connection: sqlite3.Connection, today: date) -> None:
    """Note inside an open transaction that whatever was forgotten so far is in no file any more."""
    connection.execute("UPDATE erasures SET overwritten = ? WHERE overwritten IS NULL", (day_number(today),))
    connection.execute("DELETE FROM erasures WHERE day <= ?", (day_number(today) - RECORDED_DAYS,))


def recorded(connection: sqlite3.Connection) -> list[Erasure]:
    """Return the record, oldest day first."""
    return [
        Erasure(day_from(day), day_from(first_kept), days, None if overwritten is None else day_from(overwritten))
        for day, first_kept, days, overwritten in connection.execute(
            "SELECT day, first_kept, days, overwritten FROM erasures ORDER BY day"
        )
    ]
