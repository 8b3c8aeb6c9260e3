"""A key per UTC day, wrapped by the device key: destroying a day's key makes everything of that day unreadable."""

import os
import secrets
import sqlite3
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from forewarn_client.diary.database import Damaged
from forewarn_protocol.errors import BadInput, Missing
from forewarn_protocol.intervals import INTERVALS_PER_DAY, day_of, first_interval
from forewarn_shell.files import make_folder, read_bounded, sync_folder, temporary_beside

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12

# AES-256-GCM throughout (NIST SP 800-38D), nonces of 96 random bits. A key seals at most a few thousand messages in
# its life (a scan window, a rotation, a match each), far below the 2^32 that 8.3 allows for random nonces.
# Two labels keep the two uses of the cipher apart: a wrapped day key can't be passed off as a page of the diary, nor
# the other way round, even if one key were ever used for both.
_WRAP_LABEL: Final = b"forewarn diary v1 day key"
_SEAL_LABEL: Final = b"forewarn diary v1 page"


def day_number(day: date) -> int:
    """Return the days since 1970-01-01, the form in which the database holds a UTC date."""
    return first_interval(day) // INTERVALS_PER_DAY


def day_from(number: int) -> date:
    """Return the UTC date that the database holds as this number."""
    return day_of(number * INTERVALS_PER_DAY)


class Forgotten(Missing):
    """A day's key was destroyed: what belonged to it is gone."""


class DaySeal:
    """Seals and unseals what belongs to one UTC day."""

    def __init__(self, day: int, key: bytes) -> None:
        self._day = day
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt; `context` names the kind of entry, so that no entry can stand in for one of another kind."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, self._label(context))

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` made with the same context.

        Raises:
            BadInput: the entry is damaged, or belongs to another day or kind.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._label(context))
        except (InvalidTag, ValueError) as error:
            raise BadInput(
                "an entry of the diary is damaged: check the disk, then erase the diary to start anew"
            ) from error

    def _label(self, context: bytes) -> bytes:
        return b"%s %d %s" % (_SEAL_LABEL, self._day, context)


class Vault:
    """The device key in memory. Every call runs inside a transaction of the diary's database, on its thread.

    Day keys are unwrapped for each use and not kept: a key destroyed by one process is gone for the other one too.
    """

    def __init__(self, device_key: bytes) -> None:
        self._wrapping = AESGCM(device_key)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the device key, or make one (mode 0600) where there is none.

        Raises:
            Missing: the file may not be read or written.
            Damaged: the file is not a device key.
        """
        if not path.exists():
            _create(path)
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the device key that is there; raises as `open` does."""
        key = read_bounded(path, KEY_BYTES)
        if len(key) != KEY_BYTES:
            raise Damaged(f"{path} is no device key any more: 'run' begins the diary anew, 'erase' destroys it")
        return cls(key)

    def day(self, connection: sqlite3.Connection, day: date, *, create: bool = False) -> DaySeal:
        """Return the seal of a day; with `create`, its key is made where none can be read.

        Raises:
            Forgotten: there is no key.
            Missing: the diary's keys were wrapped by another device key.
            BadInput: this key is damaged, and others are not.
        """
        number = day_number(day)
        row = connection.execute("SELECT wrapped FROM day_keys WHERE day = ?", (number,)).fetchone()
        if row is not None:
            try:
                return DaySeal(number, self._unwrap(number, row[0]))
            except Missing as error:
                if not self._is_the_right_one(connection):
                    raise
                if not create:
                    raise BadInput(
                        f"the diary's key of {day.isoformat()} is damaged: what it sealed is lost"
                    ) from error
        elif not create:
            raise Forgotten(f"{day.isoformat()} is forgotten: its entries can no longer be read")
        # In the place of a damaged one, too: what that sealed is lost, and the day must go on being written.
        key = secrets.token_bytes(KEY_BYTES)
        row = (number, self._wrap(number, key))
        connection.execute("INSERT OR REPLACE INTO day_keys (day, wrapped) VALUES (?, ?)", row)
        return DaySeal(number, key)

    def seal(self, connection: sqlite3.Connection, day: date, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt an entry with its day's key, made where there is none."""
        return self.day(connection, day, create=True).seal(plaintext, context)

    def unseal(self, connection: sqlite3.Connection, day: date, sealed: bytes, context: bytes) -> bytes:
        """Decrypt an entry with its day's key."""
        return self.day(connection, day).unseal(sealed, context)

    def forget_before(self, connection: sqlite3.Connection, day: date) -> int:
        """Destroy the keys of the days before `day`; return how many there were."""
        return connection.execute("DELETE FROM day_keys WHERE day < ?", (day_number(day),)).rowcount

    def _wrap(self, day: int, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, b"%s %d" % (_WRAP_LABEL, day))

    def _is_the_right_one(self, connection: sqlite3.Connection) -> bool:
        # A wrong device key may have wrapped today's key since it came: what counts is whether it opens most of them.
        opened = 0
        rows = connection.execute("SELECT day, wrapped FROM day_keys").fetchall()
        for number, wrapped in rows:
            with suppress(Missing):
                self._unwrap(number, wrapped)
                opened += 1
        return 0 < opened >= len(rows) / 2

    def _unwrap(self, day: int, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], b"%s %d" % (_WRAP_LABEL, day))
        except (InvalidTag, ValueError) as error:
            raise Missing(
                "the diary was written with another device key: bring that back, or erase to start anew"
            ) from error


def _create(path: Path) -> None:
    # Two commands may start on an empty folder at once: a link is made by one of them only, and both read its file.
    temporary = temporary_beside(path)
    try:
        make_folder(path.parent, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except (FileExistsError, FileNotFoundError):
            # Somebody was first; a daemon that works with that key has cleared ours away, perhaps.
            if not path.exists():
                raise
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise Missing(
            f"{path} cannot be written ({error.strerror}): give another --data, or its owner's rights"
        ) from error
