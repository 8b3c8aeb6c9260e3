"""Fetch the signed feeds and the new export files, match them against the diary, and keep what matched.

A file is one transaction: its matches and its row in the ledger, or neither. So a fetch that breaks off anywhere leaves
whole files done, and the next one goes on with the rest.
"""

import asyncio
import hashlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from forewarn_client import anomalies, matches
from forewarn_client.board import CLOCK_OFFSET, LAST_DOWNLOAD, LAST_MATCH, note, note_fault
from forewarn_client.connection import Connection, Gone, connect
from forewarn_client.device import Device
from forewarn_client.forgetting import first_kept_day
from forewarn_client.matches import Heard
from forewarn_client.pinned_feeds import ADVICE, CONFIGURATION, INDEX, refresh
from forewarn_client.translations import say
from forewarn_protocol.errors import BadInput, NotVerified
from forewarn_protocol.exports.index import Index, IndexEntry
from forewarn_protocol.exports.reading import ExportFile, ExportLimits
from forewarn_protocol.intervals import TOLERANCE_INTERVALS, day_at
from forewarn_protocol.matching import Anomaly, SightingIndex, match

KEYS_PER_STEP: Final = 100
"""Between two steps the daemon's other jobs have their turn: about 5 ms on a desktop, ten times that on a badge."""
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
    errand = _Errand(device, connection, configuration.feed.public_keys())
    expired = {"configuration": configuration.expired}
    try:
        expired["advice"] = (await refresh(device, connection, ADVICE)).expired
    except (NotVerified, BadInput, Gone) as error:
        outcome.warnings.append(error.message)  # the advice of the last time serves; matching goes on
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


@dataclass(slots=True)
class _Errand:
    device: Device
    connection: Connection
    export_keys: tuple[EllipticCurvePublicKey, ...]
    heard: SightingIndex | None = None

    async def sightings(self) -> SightingIndex:
        # Read once for all files of a fetch, and not at all where there is no new one.
        if self.heard is None:
            heard = await self.device.diary.sightings(await self.device.database.read(first_kept_day, self.device))
            self.heard = await asyncio.to_thread(SightingIndex, heard)
        return self.heard


async def _finish_new_files(errand: _Errand, index: Index, outcome: FetchOutcome) -> list[str]:
    """Do each file of the index that the ledger lacks; return what was wrong with those that could not be done."""
    done = await errand.device.database.read(_ledger)
    faults = []
    for entry in index.files:
        if entry.sha256 in done:
            continue
        try:
            keys = await _finish(errand, entry)
        except (NotVerified, BadInput, Gone) as error:
            faults.append(error.message)
        else:
            outcome.files += 1
            outcome.keys += keys
    return faults


async def _finish(errand: _Errand, entry: IndexEntry) -> int:
    device = errand.device
    # The file has no name in any folder: it is gone with the last handle, whatever ends this process.
    with TemporaryFile(dir=device.settings.data) as file:
        await _download(errand, entry, file)
        # The whole file is inflated and hashed: seconds on a badge, in which a scan would be lost. A fetch that is
        # cancelled closes the file, and so stops the thread at its next read.
        export = await asyncio.to_thread(_open_verified, file, errand.export_keys)
        strange = Counter[Anomaly]()
        found = await _match(export, await errand.sightings(), strange)
    await device.database.write(_commit, device, entry, found, strange)
    return export.key_count + export.revised_key_count


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


def _open_verified(file: BinaryIO, export_keys: Sequence[EllipticCurvePublicKey]) -> ExportFile:
    export = ExportFile.open_zip(file)
    export.verify(export_keys)
    return export


async def _match(export: ExportFile, index: SightingIndex, strange: Counter[Anomaly]) -> list[Heard]:
    # As wide as the protocol ever matches, without guard and caps: `judging` matches anew by the configuration of its
    # day, and could not bring back what a narrower one had left out here.
    found: list[Heard] = []
    for keys, revised in ((export.keys(), False), (export.revised_keys(), True)):
        while step := list(islice(keys, KEYS_PER_STEP)):
            matched = match(step, index, tolerance_intervals=TOLERANCE_INTERVALS, replay_guard_s=inf, anomalies=strange)
            found += (Heard.of(each, export.header, revised=revised) for each in matched)
            await asyncio.sleep(0)  # not a wait: the other jobs' turn
    return found


def _commit(
    connection: sqlite3.Connection,
    device: Device,
    entry: IndexEntry,
    found: Iterable[Heard],
    strange: Mapping[Anomaly, int],
) -> None:
    matches.keep(connection, device.vault, found, first_kept_day(connection, device))
    anomalies.keep(connection, device.vault, strange, day_at(device.clock.utc()))
    connection.execute("INSERT OR IGNORE INTO finished_files (sha256) VALUES (?)", (entry.sha256,))


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
