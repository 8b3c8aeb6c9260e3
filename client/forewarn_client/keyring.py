"""This device's own Temporary Exposure Keys: which intervals each has spoken, and what is released for a report."""

import secrets
import sqlite3
import struct
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, Self

from forewarn_client.diary.database import Database
from forewarn_client.diary.vault import Vault, day_from, day_number
from forewarn_protocol.errors import BadInput
from forewarn_protocol.intervals import INTERVALS_PER_DAY, Interval, day_of, midnight
from forewarn_protocol.keys import KEY_BYTES, TemporaryExposureKey
from forewarn_protocol.verification import TestType

MAX_INTERVALS_AHEAD: Final = 6
"""An identifier may be spoken an hour before its interval; receivers tolerate two."""

CONTEXT: Final = b"own key"
_EVER: Final = date(1970, 1, 1)
_RECORD: Final = struct.Struct(f"<{KEY_BYTES}sIB?{INTERVALS_PER_DAY // 8}sB?")
_SENT: Final = (None, *TestType)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key with its history: the intervals it has spoken, and whether it was released for a report.

    A released key never speaks again: whoever reads the published file could otherwise speak along. `sent` is the
    finding that it was last published with, None before the first time; `revised`: that finding was a second one.
    """

    tek: TemporaryExposureKey
    spoken: frozenset[Interval] = frozenset()
    released: bool = False
    sent: TestType | None = None
    revised: bool = False
    row: int | None = field(default=None, repr=False)

    def next_interval(self, now: Interval) -> Interval | None:
        """Return the smallest interval at or after `now` that was never spoken, at most six ahead."""
        if self.released:
            return None
        first, end = max(now, self.tek.rolling_start), min(now + MAX_INTERVALS_AHEAD + 1, self.tek.end)
        return next((Interval(i) for i in range(first, end) if i not in self.spoken), None)

    def encode(self) -> bytes:
        """Return the record that the diary seals."""
        bits = sum(1 << interval - self.tek.rolling_start for interval in self.spoken)
        bitmap = bits.to_bytes(INTERVALS_PER_DAY // 8, "little")
        tek, sent = self.tek, _SENT.index(self.sent)
        return _RECORD.pack(tek.key, tek.rolling_start, tek.rolling_period, self.released, bitmap, sent, self.revised)

    @classmethod
    def decode(cls, record: bytes, row: int) -> Self:
        """Read a record."""
        key, start, period, released, bitmap, sent, revised = _RECORD.unpack(record)
        bits = int.from_bytes(bitmap, "little")
        spoken = frozenset(Interval(start + i) for i in range(period) if bits >> i & 1)
        return cls(TemporaryExposureKey(key, Interval(start), period), spoken, released, _SENT[sent], revised, row)


class Keyring:
    """The own keys in the diary. Each change is one transaction, durable before its result is returned."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._handed_back: tuple[TemporaryExposureKey, Interval] | None = None

    async def next_identifier(self, now: Interval) -> tuple[TemporaryExposureKey, Interval] | None:
        """Take the next interval to speak, marked as spoken on the disk; None: stay silent in this interval.

        The identifier is a function of key and interval, so a restart that spoke the same interval again would speak
        the same identifier under a new address and link the two addresses.
        """
        return await self._database.write(self._take, now)

    def hand_back(self, tek: TemporaryExposureKey, interval: Interval) -> None:
        """Let an interval be taken once more that was taken and certainly never spoken.

        Else a radio that refuses for long would use up the coming hour, and have nothing to say when it is mended.
        """
        self._handed_back = tek, interval

    async def release(
        self, first_day: date, now: Interval, *, dropped: Collection[date] = ()
    ) -> list[TemporaryExposureKey]:
        """Return the keys that spoke from `first_day` on, without the `dropped` UTC days, oldest first.

        Earlier days' keys are whole. A key that still had something to say is cut short after the last interval it
        spoke, and in the same transaction a new key takes over from the next interval on.
        """
        return await self._database.write(self.release_within, first_day, now, dropped=dropped)

    def release_within(
        self, connection: sqlite3.Connection, first_day: date, now: Interval, *, dropped: Collection[date] = ()
    ) -> list[TemporaryExposureKey]:
        """Do the same inside a transaction that is already open."""
        released = []
        for key in self.held_within(connection, first_day):
            if not key.spoken or day_of(key.tek.rolling_start) in dropped or key.tek.rolling_start > now:
                continue
            released.append(self._release(connection, key, now).tek)
        return released

    def held_within(self, connection: sqlite3.Connection, first_day: date) -> list[OwnKey]:
        """Return the keys of the UTC days from `first_day` on, oldest first, inside a transaction that is open."""
        return self._read(connection, "day >= ?", first_day)

    def mark_sent_within(
        self, connection: sqlite3.Connection, spans: Collection[tuple[int, int]], finding: TestType
    ) -> None:
        """Note with which finding keys were published, by (rolling start, rolling period), in an open transaction."""
        first_day = day_of(Interval(min(start for start, _ in spans)))
        for key in self.held_within(connection, first_day):
            if (key.tek.rolling_start, key.tek.rolling_period) in spans:
                self._keep(connection, replace(key, sent=finding, revised=key.sent is not None))

    def retire_within(self, connection: sqlite3.Connection, now: Interval) -> None:
        """Let none of the keys that are held speak any more, inside a transaction that is open.

        They came from another device: what they spoke there can still be reported, and other keys speak from the next
        interval on, so that no identifier is ever spoken by two devices.
        """
        for key in self.held_within(connection, _EVER):
            if key.spoken:
                self._keep(connection, replace(self._release(connection, key, now), released=True))
            else:
                self._keep(connection, replace(key, tek=replace(key.tek, key=secrets.token_bytes(KEY_BYTES))))

    def _release(self, connection: sqlite3.Connection, key: OwnKey, now: Interval) -> OwnKey:
        if key.released or key.tek.end <= now:
            return key
        cut = replace(key, tek=key.tek.cut_short(max(key.spoken)), released=True)
        self._keep(connection, cut)
        if cut.tek.end < key.tek.end:
            self._keep(connection, OwnKey(TemporaryExposureKey.fresh(cut.tek.end, secrets.token_bytes(KEY_BYTES))))
        return cut

    def _take(self, connection: sqlite3.Connection, now: Interval) -> tuple[TemporaryExposureKey, Interval] | None:
        keys = self._of_day(connection, day_of(now))
        if not keys:
            # From midnight on, whenever the device was switched on: a key's start tells nothing about its owner.
            keys = [OwnKey(TemporaryExposureKey(secrets.token_bytes(KEY_BYTES), midnight(now)))]
        back, self._handed_back = self._handed_back, None
        if back is not None and back[1] >= now and any(key.tek == back[0] and not key.released for key in keys):
            return back
        for key in keys:
            if (interval := key.next_interval(now)) is not None:
                self._keep(connection, replace(key, spoken=key.spoken | {interval}))
                return key.tek, interval
        return None

    def _of_day(self, connection: sqlite3.Connection, day: date) -> list[OwnKey]:
        return self._read(connection, "day = ?", day)

    def _read(self, connection: sqlite3.Connection, condition: str, day: date) -> list[OwnKey]:
        rows = connection.execute(
            f"SELECT id, day, sealed FROM own_keys WHERE {condition} ORDER BY day, id",  # noqa: S608 - our two constants
            (day_number(day),),
        ).fetchall()
        keys = []
        for row, number, sealed in rows:
            with suppress(BadInput):  # damaged: it costs itself alone, and another key speaks in its place
                keys.append(OwnKey.decode(self._vault.unseal(connection, day_from(number), sealed, CONTEXT), row))
        return keys

    def _keep(self, connection: sqlite3.Connection, key: OwnKey) -> None:
        day = day_of(key.tek.rolling_start)
        connection.execute(
            "INSERT OR REPLACE INTO own_keys (id, day, sealed) VALUES (?, ?, ?)",
            (key.row, day_number(day), self._vault.seal(connection, day, key.encode(), CONTEXT)),
        )
