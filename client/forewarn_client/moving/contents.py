"""What a moving diary holds: a manifest, then one record an entry, unsealed here and sealed anew over there.

The new device draws keys of its own, so that nothing left on the old one's flash ever opens anything on the new one.
"""

import json
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forewarn_client import keyring, report_state
from forewarn_client.alerts import ALERTS
from forewarn_client.anomalies import ANOMALIES
from forewarn_client.board import LAST_DOWNLOAD, LAST_MATCH, note, read_all
from forewarn_client.device import Device
from forewarn_client.diary.store import SCAN_WINDOWS
from forewarn_client.diary.vault import Forgotten, Vault, day_from, day_number
from forewarn_client.forgetting import first_kept_day
from forewarn_client.matches import MATCHES
from forewarn_client.moving.sealed_file import SealedReader, SealedWriter
from forewarn_client.withdrawals import WITHDRAWALS
from forewarn_protocol.errors import BadInput
from forewarn_protocol.feeds import Region
from forewarn_protocol.intervals import day_at, interval_at


class SealedKind(NamedTuple):
    """A table whose rows are sealed by the day, and what they are sealed as."""

    table: str
    context: bytes


SEALED_TABLES: Final[Mapping[int, SealedKind]] = {
    1: SealedKind(SCAN_WINDOWS.table, SCAN_WINDOWS.context),
    2: SealedKind("own_keys", keyring.CONTEXT),
    3: SealedKind(MATCHES.table, MATCHES.context),
    4: SealedKind(ALERTS.table, ALERTS.context),
    5: SealedKind("reports", report_state.CONTEXT),
    6: SealedKind(ANOMALIES.table, ANOMALIES.context),
    7: SealedKind(WITHDRAWALS.table, WITHDRAWALS.context),
}
"""Each of schema.DAILY_TABLES by its number in the file."""
_MANIFEST: Final = 0
_FEED: Final = 8
"""The newest version of a signed feed: a new device, too, refuses a lower sequence."""
_FINISHED_FILE: Final = 9
_FEED_KEY: Final = 10
"""A feed key that a pinned one vouched for, or that was revoked: the new device cannot learn it from the old feeds."""
OPEN_TABLES: Final[Mapping[int, str]] = {_FEED: "feeds", _FINISHED_FILE: "finished_files", _FEED_KEY: "feed_keys"}

SETTINGS: Final = ("server", "public_key", "region", "language", "service_uuid")
"""What belongs to the person and the authority; radio, power and calibration belong to the hardware."""
_STATUS: Final = (LAST_DOWNLOAD, LAST_MATCH)

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
_RECORD: Final = struct.Struct(">BII")  # number of the table, day since 1970-01-01, bytes that follow


class Manifest(BaseModel):
    """When the file was made (Unix seconds), for which region, and the settings that go along."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    created_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    region: Region
    settings: dict[str, str | int | list[str]]
    status: dict[str, float]


def write_contents(connection: sqlite3.Connection, device: Device, out: SealedWriter) -> int:
    """Write the diary into a file, inside a transaction; return how many damaged entries had to stay behind."""
    settings = device.settings
    status = read_all(connection)
    manifest = Manifest(
        created_s=device.clock.utc(),
        region=settings.region,
        settings=settings.model_dump(mode="json", include=set(SETTINGS) & settings.model_fields_set, exclude_none=True),
        status={name: value for name in _STATUS if isinstance(value := status.get(name), int | float)},
    )
    _put(out, _MANIFEST, 0, manifest.model_dump_json().encode())
    for *head, body in connection.execute("SELECT path, sequence, issued, root, body FROM feeds"):
        _put(out, _FEED, 0, json.dumps(head).encode() + b"\n" + body)
    for row in connection.execute("SELECT key_hash, public_key, root FROM feed_keys"):
        _put(out, _FEED_KEY, 0, json.dumps(row).encode())
    for (sha256,) in connection.execute("SELECT sha256 FROM finished_files"):
        _put(out, _FINISHED_FILE, 0, sha256.encode())
    damaged = 0
    for number, kind in SEALED_TABLES.items():
        for day, entry in _unsealed(connection, device.vault, kind, first_kept_day(connection, device)):
            if entry is None:
                damaged += 1
            else:
                _put(out, number, day_number(day), entry)
    return damaged


def read_manifest(reader: SealedReader) -> Manifest:
    """Read the first record of a file.

    Raises:
        BadInput: it is none.
    """
    number, _, content = next(_records(reader), (None, 0, b""))
    try:
        if number == _MANIFEST:
            return Manifest.model_validate_json(content)
    except ValidationError:
        pass
    raise _strange()


def read_contents(connection: sqlite3.Connection, device: Device, manifest: Manifest, reader: SealedReader) -> None:
    """Put the records after the manifest into an empty diary, inside a transaction; the own keys speak no more.

    Raises:
        BadInput: the file is damaged, or holds what no diary has.
    """
    now_s = device.clock.utc()
    # A day that is over here stays forgotten, and nobody met anybody the day after tomorrow.
    kept = range(day_number(first_kept_day(connection, device)), day_number(day_at(now_s) + timedelta(days=2)))
    for number, day, content in _records(reader):
        try:
            if number in OPEN_TABLES:
                _keep_open(connection, number, content)
            else:
                kind = SEALED_TABLES[number]
                if day in kept:
                    _keep_sealed(connection, device.vault, kind, day, content)
        except (KeyError, ValueError, TypeError, sqlite3.IntegrityError, sqlite3.InterfaceError):
            raise _strange() from None
    for name, value in manifest.status.items():
        if name in _STATUS:
            note(connection, name, value)
    device.keyring.retire_within(connection, interval_at(now_s))


def _unsealed(
    connection: sqlite3.Connection, vault: Vault, kind: SealedKind, first_kept: date
) -> Iterator[tuple[date, bytes | None]]:
    rows = connection.execute(
        f"SELECT day, sealed FROM {kind.table} WHERE day >= ? ORDER BY rowid",  # noqa: S608 - our own constants
        (day_number(first_kept),),
    )
    for number, sealed in rows:
        day = day_from(number)
        try:
            yield day, vault.unseal(connection, day, sealed, kind.context)
        except Forgotten:
            continue
        except BadInput:
            yield day, None


def _keep_open(connection: sqlite3.Connection, number: int, content: bytes) -> None:
    if number == _FINISHED_FILE:
        connection.execute("INSERT INTO finished_files (sha256) VALUES (?)", (content.decode("ascii"),))
        return
    if number == _FEED_KEY:
        key_hash, public_key, root = json.loads(content)
        row = (key_hash, public_key, root)
        connection.execute("INSERT INTO feed_keys (key_hash, public_key, root) VALUES (?, ?, ?)", row)
        return
    head, _, body = content.partition(b"\n")
    path, sequence, issued, root = json.loads(head)
    feed = (path, sequence, issued, root, body)
    connection.execute("INSERT INTO feeds (path, sequence, issued, root, body) VALUES (?, ?, ?, ?, ?)", feed)


def _keep_sealed(connection: sqlite3.Connection, vault: Vault, kind: SealedKind, day: int, content: bytes) -> None:
    sealed = vault.seal(connection, day_from(day), content, kind.context)
    connection.execute(f"INSERT INTO {kind.table} (day, sealed) VALUES (?, ?)", (day, sealed))  # noqa: S608 - our own constants


def _put(out: SealedWriter, number: int, day: int, content: bytes) -> None:
    out.write(_RECORD.pack(number, day, len(content)) + content)


def _records(reader: SealedReader) -> Iterator[tuple[int, int, bytes]]:
    while head := reader.take(_RECORD.size):
        try:
            number, day, length = _RECORD.unpack(head)
        except struct.error:
            raise _strange() from None
        if length > MAX_RECORD_BYTES or len(content := reader.take(length)) != length:
            raise _strange()
        yield number, day, content


def _strange() -> BadInput:
    return BadInput("the file holds what no diary has: write it anew with 'move out'")
