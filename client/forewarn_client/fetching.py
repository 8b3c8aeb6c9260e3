"""Fetch the signed feeds and the new export files, match them against the diary, and keep what matched.

A file is one transaction: its matches and its row in the ledger, or neither. So a fetch that breaks off anywhere leaves
whole files done, and the next one goes on with the rest.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from forewarn_client import anomalies, matches
from forewarn_client.assessing import spool
from forewarn_client.assessing.assessors import Assessor, assessor_of
from forewarn_client.assessing.questions import Compared, Comparison
from forewarn_client.board import CLOCK_OFFSET, LAST_DOWNLOAD, LAST_MATCH, note, note_fault
from forewarn_client.connection import Connection, Gone, connect
from forewarn_client.device import Device
from forewarn_client.diary.database import Damaged
from forewarn_client.forgetting import first_kept_day
from forewarn_client.pinned_feeds import ADVICE, CONFIGURATION, INDEX, refresh
from forewarn_client.translations import say
from forewarn_protocol.errors import BadInput, NotVerified
from forewarn_protocol.exports.index import Index, IndexEntry
from forewarn_protocol.exports.reading import ExportLimits
from forewarn_protocol.intervals import day_at

SERVER_FAULT: Final = "server"
"""The name in the status of what was wrong with what the server offers; absent while all is well."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FetchOutcome:
    """What one fetch did: files finished, published keys looked at, and what the person should know, in words.

    `complete`: every file of an index that has not expired is done; only then is the last match up to date.
    """

    files: int = 0
    keys: int = 0
    warnings: list[str] = field(default_factory=list)
    complete: bool = False


async def fetch(device: Device) -> FetchOutcome:
    """Bring this device up to date with its server, and say in the status how it went.

    Raises:
        Missing: the server cannot be reached, or none is set, or no feed key is pinned.
        NotVerified: configuration or index is not signed by a pinned key, or is older than one seen before.
        BadFeed: configuration or index is malformed.
    """
    outcome = FetchOutcome()
    async with connect(device.settings.server, device.clock) as connection:
        try:
            await _fetch(device, connection, outcome)
        finally:
            if (told := connection.server_time) is not None:
                device.trust.hear_server(told)
                await device.status.note(CLOCK_OFFSET, told.at(device.clock.monotonic()) - device.clock.utc())
    await device.database.write(_note, outcome, device.clock.utc())
    _log.info("fetched %d new files", outcome.files)
    return outcome


async def _fetch(device: Device, connection: Connection, outcome: FetchOutcome) -> None:
    configuration = await refresh(device, connection, CONFIGURATION)
    expired = {"configuration": configuration.expired}
    try:
        expired["advice"] = (await refresh(device, connection, ADVICE)).expired
    except (NotVerified, BadInput, Gone) as error:
        outcome.warnings.append(error.message)  # the advice of the last time serves; matching goes on
    async with assessor_of(device.settings) as assessor:
        errand = _Errand(device, connection, tuple(key.public_key for key in configuration.feed.export_keys), assessor)
        # A file that is gone or other than the index says: one of the two is newer. Fetch both once more.
        for _ in range(2):
            index = await refresh(device, connection, INDEX)
            faults = await _finish_new_files(errand, index.feed, outcome)
            if not faults:
                break
    expired["index"] = index.expired
    outcome.complete = not faults and not index.expired
    outcome.warnings += faults
    outcome.warnings += [say(device.settings.language, f"expired.{name}") for name, is_so in expired.items() if is_so]
    if outcome.complete:
        await device.database.write(_trim_ledger, {entry.sha256 for entry in index.feed.files})


@dataclass(frozen=True, slots=True)
class _Errand:
    device: Device
    connection: Connection
    export_keys: tuple[str, ...]
    assessor: Assessor


async def _finish_new_files(errand: _Errand, index: Index, outcome: FetchOutcome) -> list[str]:
    """Do each file of the index that the ledger lacks; return what was wrong with those that could not be done."""
    done = await errand.device.database.read(_ledger)
    faults = []
    for entry in index.files:
        if entry.sha256 in done:
            continue
        try:
            keys = await _finish(errand, entry)
        except Damaged:
            raise  # the diary is, not the file
        except (NotVerified, BadInput, Gone) as error:
            faults.append(error.message)
        else:
            outcome.files += 1
            outcome.keys += keys
    return faults


async def _finish(errand: _Errand, entry: IndexEntry) -> int:
    # The file has no name in any folder: it is gone with the last handle, whatever ends this process.
    with TemporaryFile(dir=errand.device.settings.data) as file:
        await _download(errand, entry, file)
        return await finish_file(errand.device, errand.assessor, errand.export_keys, file, entry.sha256)


async def finish_file(
    device: Device, assessor: Assessor, export_keys: tuple[str, ...], file: BinaryIO, sha256: str
) -> int:
    """Compare a file that is here, keep what was heard of its keys beside its hash, and return how many keys it has.

    Raises:
        NotVerified: none of the export keys (base64) signed it.
        BadInput: it is malformed.
        Missing: the diary can't be read or written now, or comparing was ended.
    """
    since = await device.database.read(first_kept_day, device)
    with TemporaryFile(dir=device.settings.data, buffering=0) as found:  # without a name, too
        compared = await assessor.compare(Comparison(device.place, export_keys, since), file, found)
        await device.database.write(_commit, device, sha256, compared, found)
    return compared.keys


async def _download(errand: _Errand, entry: IndexEntry, file: BinaryIO) -> None:
    digest, size = hashlib.sha256(), 0

    def take(chunk: bytes) -> None:
        nonlocal size
        digest.update(chunk)
        size += file.write(chunk)

    path = INDEX.path(errand.device.settings.region).removesuffix("index.json") + entry.path
    await errand.connection.download(path, min(entry.bytes, ExportLimits().compressed_bytes), take)
    if (size, digest.hexdigest()) != (entry.bytes, entry.sha256):
        raise NotVerified(f"{path} is not the file that the index names: it is left out")


def _commit(connection: sqlite3.Connection, device: Device, sha256: str, compared: Compared, found: BinaryIO) -> None:
    matches.keep(connection, spool.rows(found), first_kept_day(connection, device))
    anomalies.keep(connection, device.vault, compared.strange, day_at(device.clock.utc()))
    connection.execute("INSERT OR IGNORE INTO finished_files (sha256) VALUES (?)", (sha256,))


def _ledger(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(sha256 for (sha256,) in connection.execute("SELECT sha256 FROM finished_files"))


def _trim_ledger(connection: sqlite3.Connection, listed: Collection[str]) -> None:
    # A file that left the index does not come back: an older index is refused.
    gone = _ledger(connection).difference(listed)
    connection.executemany("DELETE FROM finished_files WHERE sha256 = ?", [(sha256,) for sha256 in gone])


def _note(connection: sqlite3.Connection, outcome: FetchOutcome, now_s: float) -> None:
    note(connection, LAST_DOWNLOAD, now_s)
    if outcome.complete:
        note(connection, LAST_MATCH, now_s)
    # One fault is as good as a thousand: the status is one screen.
    note_fault(connection, SERVER_FAULT, "; ".join(outcome.warnings[:3]) or None, now_s)
