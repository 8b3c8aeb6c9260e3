"""The protections that the crash tests rely on, each with a way to be without it: for positive controls alone.

Only a child process of the tests is ever patched, and only for its one life.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from forewarn_client import daemon, fetching
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.store import Diary
from forewarn_client.keyring import Keyring
from forewarn_protocol.publishing import PublishAnswer
from forewarn_server import setting_up
from forewarn_server.codes import claiming
from forewarn_server.exports import batches, sealing
from forewarn_server.keyrings import folder as keyrings
from forewarn_server.public import feeds
from forewarn_server.publish import routes, service
from forewarn_server.retention import forgetting
from forewarn_server.store.exposure_tables import keys
from forewarn_shell import files

if TYPE_CHECKING:
    from tests.system.crashes.children import Life

LATER_S = 0.3
"""Real seconds by which an acknowledgement runs ahead of what it acknowledges."""


def switch_off(life: "Life") -> None:
    """Take away from this process what the life says."""
    for name in life.unprotected:
        PROTECTIONS[name]()


def _finish_before_writing() -> None:
    keys_of = batches.keys_of

    async def finishing(database: Any, batch: Any) -> Any:
        await batches.finish(database, batch, sha256=bytes(32), size_bytes=1, export_key="v1")
        return await keys_of(database, batch)

    batches.keys_of = finishing


def _believe_the_files() -> None:
    sealing._spoilt = lambda _folder, _finished: set()


def _answer_before_the_commit() -> None:
    publish = service.publish
    later: list[asyncio.TimerHandle | asyncio.Task[Any]] = []

    async def answering(context: Any, examined: Any) -> PublishAnswer:
        loop = asyncio.get_running_loop()
        later.append(loop.call_later(LATER_S, lambda: later.append(loop.create_task(publish(context, examined)))))
        return PublishAnswer(revision_token=examined.token.text, inserted_exposures=len(examined.request.keys))

    routes.publish = answering


def _forget_the_nonce() -> None:
    claiming.nonce_hash = lambda _key, _nonce: secrets.token_bytes(32)


def _forget_the_publish() -> None:
    async def never(_connection: Any, _examined: Any) -> None:
        return None

    service.repeated = never


def _let_sealed_keys_wait_on() -> None:
    claim = batches._claim_fresh

    async def claiming_twice(connection: Any, batch: Any, *plan: Any) -> None:
        await claim(connection, batch, *plan)
        waiting = update(keys).where(keys.c.batch_number == batch.number).values(releasable_s=batch.end_s)
        await connection.execute(waiting)

    batches._claim_fresh = claiming_twice


def _leave_what_a_killed_writer_left() -> None:
    for module in (sealing, forgetting, daemon, keyrings, setting_up):
        module.clear_left_overs = lambda _folder: None


def _sync_no_folder() -> None:
    sealing.sync_folder = files.sync_folder = lambda _folder: None


def _sync_no_file() -> None:
    write_together = files.write_together

    def unsynced(contents: Mapping[Any, bytes], **mode: int) -> None:
        for path, data in contents.items():
            files.make_folder(path.parent)
            temporary = files.temporary_beside(path)
            temporary.write_bytes(data)
            temporary.replace(path)
        if mode:
            write_together({}, **mode)

    feeds.write_together = unsynced


def _keep_the_ledger_apart() -> None:
    commit = fetching._commit

    def apart(connection: sqlite3.Connection, device: Any, sha256: str, *found: Any) -> None:
        connection.execute("INSERT OR IGNORE INTO finished_files (sha256) VALUES (?)", (sha256,))
        _begin_anew(connection)
        commit(connection, device, sha256, *found)

    fetching._commit = apart


def _keep_the_matches_apart() -> None:
    keep = fetching.matches.keep

    def apart(connection: sqlite3.Connection, *found: Any) -> None:
        keep(connection, *found)
        _begin_anew(connection)

    fetching.matches.keep = apart


def _begin_anew(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")


def _speak_before_storing() -> None:
    def unstored(self: Keyring, connection: sqlite3.Connection, now: Any) -> Any:
        connection.execute("SAVEPOINT taken")
        taken = self._take(connection, now)
        connection.execute("ROLLBACK TO taken")
        return taken

    async def next_identifier(self: Keyring, now: Any) -> Any:
        return await self._database.write(lambda connection: unstored(self, connection, now))

    Keyring.next_identifier = next_identifier


def _acknowledge_before_recording() -> None:
    record = Diary.record
    later: list[asyncio.Task[None]] = []

    async def recording(self: Diary, window: ScanWindow) -> None:
        async def in_a_while() -> None:
            await asyncio.sleep(LATER_S)
            await record(self, window)

        later.append(asyncio.get_running_loop().create_task(in_a_while()))

    Diary.record = recording


PROTECTIONS: dict[str, Callable[[], None]] = {
    "a batch is finished after its file is written": _finish_before_writing,
    "damaged files are written anew": _believe_the_files,
    "an answer leaves after the commit": _answer_before_the_commit,
    "the nonce of a claim is remembered": _forget_the_nonce,
    "a publish is remembered": _forget_the_publish,
    "a sealed key waits no more": _let_sealed_keys_wait_on,
    "left-overs are cleared": _leave_what_a_killed_writer_left,
    "folders are synced": _sync_no_folder,
    "files are synced": _sync_no_file,
    "the ledger is written with the matches": _keep_the_ledger_apart,
    "the matches are written with the ledger": _keep_the_matches_apart,
    "an interval is stored before it is spoken": _speak_before_storing,
    "a scan window is recorded before that is said": _acknowledge_before_recording,
}
