"""Reads the public folder over HTTP as a device does: signed index, hashes, signatures, keys."""

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any

from forewarn_protocol.errors import NotVerified
from forewarn_protocol.exports.index import Index
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.feeds import verify_feed
from forewarn_protocol.keys import DiagnosisKey
from tests.server.reporting_phone import b64
from tests.server.running_server import RunningServer


async def feed_of(server: RunningServer, path: str) -> bytes:
    """Fetch a feed and verify it with the feed key; one that was just being written, once more."""
    for attempt in range(2):
        reply = await server.send("GET", f"/{path}")
        assert reply.status == 200, path
        signature = (await server.send("GET", f"/{path}.sig")).body
        with suppress(NotVerified) if attempt == 0 else nullcontext():
            verify_feed([server.context.keys.feed.active.private.public_key()], path, reply.body, signature)
            return reply.body
    raise AssertionError(path)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a background job, which works through files and transactions of its own."""
    async with asyncio.timeout(30):
        while not await happened():  # noqa: ASYNC110 - the job tells nobody when it is done
            await asyncio.sleep(0.01)


async def until_jobs_rest(server: RunningServer) -> None:
    """Wait until all background jobs have done what is behind them."""

    async def all_wait() -> bool:
        return len(server.clock.sleepers) == server.jobs

    await until(all_wait)


async def let_pass(server: RunningServer, seconds: float) -> None:
    """Let time pass for the background jobs, once they rest."""
    await until_jobs_rest(server)
    server.clock.advance(seconds)
    await until_jobs_rest(server)


async def index_of(server: RunningServer) -> Index:
    return Index.parse(await feed_of(server, "exports/vn/index.json"))


async def exports_of(server: RunningServer, skip: int = 0) -> list[ExportFile]:
    """Fetch the files of the index, and check all that the index and the signatures say of them."""
    files = []
    for entry in (await index_of(server)).files[skip:]:
        reply = await server.send("GET", f"/exports/vn/{entry.path}")
        assert reply.status == 200
        assert hashlib.sha256(reply.body).hexdigest() == entry.sha256
        assert len(reply.body) == entry.bytes
        export = ExportFile.open_zip(io.BytesIO(reply.body))
        export.verify([key.private.public_key() for key in server.context.keys.export.accepted])
        assert export.key_count + export.revised_key_count == entry.keys
        files.append(export)
    return files


def diagnosis_keys(export: ExportFile) -> list[DiagnosisKey]:
    return list(export.keys())


def texts_in(export: ExportFile) -> list[str]:
    return [b64(key.tek.key) for key in diagnosis_keys(export)]


def texts_of(*reports: list[dict[str, Any]]) -> set[str]:
    return {key["key"] for keys in reports for key in keys}
