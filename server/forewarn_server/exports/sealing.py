"""Seals what is due: claim, write and sign the file, note it, publish the index; each step survives a crash.

The order is the promise: a file is durable before its batch counts as finished, and finished before the index names
it. So whatever the index names is there, and a key that was claimed is in exactly one file.
"""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from forewarn_protocol.exports.index import Index, IndexEntry
from forewarn_protocol.exports.reading import ExportHeader
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.feeds import FeedHead
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context
from forewarn_server.exports import batches
from forewarn_server.exports.batches import Batch, PackedKeys
from forewarn_server.exports.planning import SealingRules
from forewarn_server.exports.signing_anew import renumber
from forewarn_server.hours import DAY_S, HOUR_S
from forewarn_server.logs import logger
from forewarn_server.public.feeds import write_feed
from forewarn_server.public.keeping import keep_issued
from forewarn_server.public.turn import publishing_turn
from forewarn_shell.files import clear_left_overs, make_folder, sync_folder, temporary_beside, write_durably

_log: Final = logger()


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one seal published: files, and keys in them with their padding."""

    files: int
    keys: int


def sealing_rules(settings: ServerSettings) -> SealingRules:
    """Return the operator's settings in the units of planning."""
    return SealingRules(
        embargo_s=settings.embargo_h * HOUR_S,
        minimum_reports=settings.minimum_reports_per_file,
        maximum_wait_s=settings.maximum_wait_h * HOUR_S,
        padded_keys=settings.padded_keys,
        maximum_keys=settings.maximum_keys_per_file,
    )


def exports_folder(settings: ServerSettings) -> Path:
    """Return the folder of the region's files and index."""
    return settings.public / "exports" / settings.region


def index_path(region: str) -> str:
    """Return the URL path of a region's index."""
    return f"exports/{region}/index.json"


def add_jobs(app: web.Application) -> None:
    """Seal at start-up, which puts the index in order before the first request, and at each full hour."""
    keep_issued(app, "seal", seal)


async def seal(context: Context) -> Sealed:
    """Publish every key that is due, finish what an earlier seal left half done, and sign the index anew."""
    async with publishing_turn(context.settings.data):
        # Whoever writes public files holds the turn: what lies there half written is of somebody who was killed.
        await asyncio.to_thread(clear_left_overs, context.settings.public)
        claimed = await batches.claim(context.exposure, sealing_rules(context.settings), context.now_s())
        spoilt = await asyncio.to_thread(
            _spoilt, exports_folder(context.settings), await batches.finished(context.exposure)
        )
        accepted = {key.name for key in context.keys.export.accepted}
        if await renumber(context.exposure, accepted, spoilt) and spoilt:
            _log.error("export files were damaged or gone: written anew", files=len(spoilt))
        await _finish_claimed(context)
        await publish_index(context)
    sealed = Sealed(len(claimed), sum(batch.keys for batch in claimed))
    if sealed.files:
        _log.info("sealed", files=sealed.files, keys=sealed.keys)
    return sealed


async def publish_index(context: Context) -> None:
    """Write index.txt and the signed index.json of the finished batches; the caller holds the publishing turn.

    One that is due to be forgotten is named no more, also where forgetting itself is late.
    """
    due_s = context.reached_s() - context.settings.key_retention_days * DAY_S
    finished = await batches.finished(context.exposure)
    entries = tuple(_entry(batch) for batch in finished if batch.end_s > due_s)

    def encode(head: FeedHead) -> bytes:
        return Index.of(head, entries).encode()

    head = await write_feed(context, index_path(context.settings.region), encode)
    text = Index.of(head, entries).text()
    await asyncio.to_thread(write_durably, exports_folder(context.settings) / "index.txt", text.encode())


def _entry(batch: Batch) -> IndexEntry:
    if batch.sha256 is None or batch.bytes is None:
        raise ValueError("only a finished batch stands in the index")
    return IndexEntry(path=batch.name, sha256=batch.sha256.hex(), bytes=batch.bytes, keys=batch.keys)


def _spoilt(folder: Path, finished: Sequence[Batch]) -> set[int]:
    """Return the batches whose file is not what was written: devices would refuse it for a fortnight."""
    return {batch.number for batch in finished if not _is_whole(folder / batch.name, batch)}


def _is_whole(path: Path, batch: Batch) -> bool:
    try:
        with path.open("rb") as file:
            # The length first: it shows a file that was cut off without reading it.
            return os.fstat(file.fileno()).st_size == batch.bytes and (
                hashlib.file_digest(file, "sha256").digest() == batch.sha256
            )
    except OSError:
        return False


async def _finish_claimed(context: Context) -> None:
    folder = exports_folder(context.settings)
    for batch in await batches.unfinished(context.exposure, context.now_s(), sealing_rules(context.settings).embargo_s):
        fresh = await batches.keys_of(context.exposure, batch)
        revised = await batches.revised_keys_of(context.exposure, batch)
        # The thread writes under a name nobody serves: if this task is cancelled meanwhile, what the thread still
        # writes is a left-over, removed by the next seal, and never a file that the index may name.
        temporary = temporary_beside(folder / batch.name)
        await asyncio.to_thread(make_folder, folder)
        signer = _signer(context)
        sha256, size_bytes = await asyncio.to_thread(_write, temporary, signer, batch, fresh, revised)
        temporary.replace(folder / batch.name)
        await asyncio.to_thread(sync_folder, folder)
        await batches.finish(
            context.exposure, batch, sha256=sha256, size_bytes=size_bytes, export_key=signer.key_version
        )


def _signer(context: Context) -> ExportSigner:
    key = context.keys.export.active
    return ExportSigner(key.private, key_id=context.settings.region, key_version=key.name)


def _write(path: Path, signer: ExportSigner, batch: Batch, fresh: PackedKeys, revised: PackedKeys) -> tuple[bytes, int]:
    header = ExportHeader(
        start_s=batch.start_s,
        end_s=batch.end_s,
        region=signer.key_id,
        batch_num=batch.place,
        batch_size=batch.places,
    )
    try:
        with path.open("w+b") as file:
            write_export(file, header, fresh, revised, [signer])
            file.flush()
            os.fsync(file.fileno())
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").digest(), size_bytes
    except OSError:
        path.unlink(missing_ok=True)  # half a file would keep a full disk full
        raise
