"""Which own keys a report offers: from two days before the first symptoms on, less the days that were dropped."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from forewarn_client.keyring import Keyring
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput
from forewarn_protocol.intervals import Interval, day_of
from forewarn_protocol.keys import MAX_ONSET_DAYS, TemporaryExposureKey
from forewarn_protocol.publishing import DEFAULT_ONSET_DAYS_BEFORE_UPLOAD, MAX_KEYS
from forewarn_protocol.verification import TestType

DAYS_BEFORE_ONSET: Final = 2
"""A person is infectious from about two days before the first symptoms on."""
MAX_OFFERED_DAYS: Final = 13
"""Older keys may be forgotten before a retry, within the token's 24 hours, could send them again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asks for: the first day of symptoms, if known, and the UTC days to keep back."""

    onset: date | None = None
    dropped: frozenset[date] = frozenset()

    def checked(self, today: date, language: Language) -> "Wish":
        """Return the wish if its onset is possible.

        Raises:
            BadInput: the onset lies in the future or over 14 days ago.
        """
        if self.onset is not None and not 0 <= (today - self.onset).days <= MAX_ONSET_DAYS:
            raise BadInput(say(language, "report.bad_onset"))
        return self


@dataclass(frozen=True, slots=True)
class Offer:
    """What is put before the person: the UTC days whose keys can be sent, and those that they keep back.

    `offered` are the days that are sent for the first time, `changed` those that were sent before and change.
    `finding` is what the code stands for: None while only the server knows.
    """

    server: str
    offered: tuple[date, ...]
    dropped: frozenset[date] = frozenset()
    changed: tuple[date, ...] = ()
    finding: TestType | None = None

    @property
    def possible(self) -> tuple[date, ...]:
        """The days that a person may keep back."""
        return tuple(sorted({*self.offered, *self.changed}))

    @property
    def days(self) -> tuple[date, ...]:
        """The days whose keys are sent."""
        return tuple(day for day in self.possible if day not in self.dropped)

    @property
    def asks_for_code_alone(self) -> bool:
        """Whether it depends on the code what would be sent at all: then nothing but the code is sent yet."""
        return self.finding is None and bool(self.changed)

    def covers(self, later: "Offer") -> bool:
        """Tell whether who agreed to this has agreed to `later`."""
        if self.changed or later.changed:
            return self == later
        return set(self.days) >= set(later.days)


def onset_of(wish: Wish, symptom_date: date | None, today: date) -> date | None:
    """Return the first day of symptoms: the person's word, else the authority's where it can be true."""
    if wish.onset is not None or symptom_date is None:
        return wish.onset
    return symptom_date if 0 <= (today - symptom_date).days <= MAX_ONSET_DAYS else None


def first_offered_day(onset: date | None, today: date) -> date:
    """Return the oldest UTC day whose keys are offered."""
    assumed = onset or today - timedelta(days=DEFAULT_ONSET_DAYS_BEFORE_UPLOAD)
    return max(assumed - timedelta(days=DAYS_BEFORE_ONSET), today - timedelta(days=MAX_OFFERED_DAYS))


def offered_days(
    connection: sqlite3.Connection, keyring: Keyring, first_day: date, now: Interval, published_until: int
) -> tuple[date, ...]:
    """Return the UTC days on which a key spoke that no report has published, oldest first; nothing changes."""
    spoken = [
        key.tek
        for key in keyring.held_within(connection, first_day)
        if key.spoken and published_until <= key.tek.rolling_start <= now
    ]
    return days_of(newest(spoken))


def days_of(teks: Collection[TemporaryExposureKey]) -> tuple[date, ...]:
    """Return the UTC days of keys, oldest first."""
    return tuple(sorted({day_of(tek.rolling_start) for tek in teks}))


def release(
    connection: sqlite3.Connection,
    keyring: Keyring,
    first_day: date,
    now: Interval,
    *,
    dropped: Collection[date],
    published_until: int,
) -> list[TemporaryExposureKey]:
    """Take the offered keys out of the keyring, today's cut short; the same call offers the same keys again."""
    released = keyring.release_within(connection, first_day, now, dropped=dropped)
    return newest([tek for tek in released if tek.rolling_start >= published_until])


def newest(teks: list[TemporaryExposureKey]) -> list[TemporaryExposureKey]:
    """Return the newest keys that one request may carry, oldest first."""
    return sorted(teks, key=lambda tek: tek.rolling_start)[-MAX_KEYS:]
