"""An alert that is taken back: its keys were withdrawn or corrected, and the person is told once that it is over.

No more detail than an alert has: who was tested, when and how often is nobody's business here either.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from forewarn_client.device import Device
from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import Forgotten, Vault, day_number
from forewarn_client.translations import say, say_day
from forewarn_protocol.advice import LANGUAGES, Language


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A UTC day whose alert no longer stands."""

    day: date

    def sentence(self, language: Language) -> str:
        """Say which warning is over, and what still counts."""
        return say(language, "alert.withdrawn", day=say_day(language, self.day))

    def as_json(self) -> dict[str, Any]:
        """Return it as `check --json` and `status --json` show it."""
        sentence = {language: self.sentence(language) for language in LANGUAGES}
        return {"day": self.day.isoformat(), "sentence": sentence}


def take_back(connection: sqlite3.Connection, vault: Vault, days: Collection[date]) -> list[Withdrawal]:
    """Put a withdrawal in the place of each of these days' alerts, inside a transaction that is open.

    Returns those that are new: a row of one table or the other is what makes sure that each is told once.
    """
    new = []
    for day in sorted(days):
        number = day_number(day)
        if connection.execute("SELECT 1 FROM alerts WHERE day = ?", (number,)).fetchone() is None:
            continue
        try:
            sealed = vault.day(connection, day).seal(b"", WITHDRAWALS.context)
        except Forgotten:
            continue  # the day has been forgotten meanwhile
        connection.execute("DELETE FROM alerts WHERE day = ?", (number,))
        connection.execute("INSERT OR REPLACE INTO withdrawals (day, sealed) VALUES (?, ?)", (number, sealed))
        new.append(Withdrawal(day))
    return new


async def withdrawn_alerts(device: Device) -> list[Withdrawal]:
    """Return the days whose alert was taken back, oldest first; each can be read until its day is forgotten."""
    return await device.database.read(_stored, device.vault)


def _stored(connection: sqlite3.Connection, vault: Vault) -> list[Withdrawal]:
    return sorted(WITHDRAWALS.read(connection, vault), key=lambda withdrawal: withdrawal.day)


WITHDRAWALS: Final = Entries("withdrawals", b"withdrawal", lambda day, _: Withdrawal(day))
