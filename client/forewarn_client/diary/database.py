"""One SQLite database on one worker thread: a transaction is one function, which cancellation cannot cut in two."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from forewarn_client.diary.schema import SCHEMA_VERSION, STATEMENTS
from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from forewarn_shell.files import make_folder


class Damaged(BadInput):
    """The diary's own files can no longer be read: the daemon begins them anew with what can."""


class DiskFull(Missing):
    """There is no space left for what was to be written; nothing of it was."""


P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 10.0

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
    "PRAGMA journal_mode = WAL",
    # An identifier must be on the disk before it is on the air: the commit waits for the disk.
    "PRAGMA synchronous = FULL",
    # Deleted rows are overwritten with zeros: part of the promise that a forgotten day is gone from the files.
    "PRAGMA secure_delete = ON",
    # VACUUM would otherwise copy the diary into a temporary file that nothing wipes.
    "PRAGMA temp_store = MEMORY",
    "PRAGMA foreign_keys = ON",
)

# Deleted rows are zeros already (secure_delete); the file is rebuilt all the same, so that this does not hang on one
# promise of SQLite's. What truly remains without the checkpoint are the old pages in the write-ahead log.
_REBUILD: Final = "VACUUM"
_EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_VERSION_AT: Final = 60
"""Where the header keeps `user_version`, big-endian (SQLite's file format, 1.3)."""

_IS_DAMAGED: Final = "is damaged: 'run' begins it anew with what can be read, 'erase' destroys it"

_FAULTS: Final[dict[int, tuple[type[ForewarnError], str]]] = {
    sqlite3.SQLITE_FULL: (DiskFull, "cannot grow, the disk is full: free some space"),
    sqlite3.SQLITE_BUSY: (Missing, "is held by another program: close it, or try again"),
    sqlite3.SQLITE_READONLY: (Missing, "may not be written: check the owner of its folder"),
    sqlite3.SQLITE_CANTOPEN: (Missing, "cannot be opened: check the folder and its owner"),
    sqlite3.SQLITE_PERM: (Missing, "may not be opened: check the owner of its folder"),
    sqlite3.SQLITE_IOERR: (Missing, "cannot be read or written: check the disk, and whether it is full"),
    sqlite3.SQLITE_CORRUPT: (Damaged, _IS_DAMAGED),
    sqlite3.SQLITE_NOTADB: (Damaged, "is no diary any more: 'run' begins it anew, 'erase' destroys it"),
}


class Database:
    """The connection; functions given to `read` and `write` run one after the other, off the event loop.

    A cancelled `write` is either done whole or not at all: the function has not begun, or it runs to its commit.
    Two processes may hold the same database open.

    Raises:
        Missing: the file can't be opened or written, or was made by a newer Forewarn.
        Damaged: the file is damaged or no diary.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, worker: ThreadPoolExecutor) -> None:
        self.path = path
        self._connection = connection
        self._worker = worker

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database, creating it (mode 0600) where there is none."""
        worker = ThreadPoolExecutor(1, thread_name_prefix="diary")
        connecting = worker.submit(connect, path)
        try:
            return cls(path, await asyncio.wrap_future(connecting), worker)
        except BaseException:
            # Cancelled while the file was being opened: it is closed on its own thread once it is.
            connecting.add_done_callback(_close)
            worker.shutdown(wait=False)
            raise

    async def write(self, act: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act(connection, …)` as one durable transaction; an exception rolls it back."""
        return await self._run("BEGIN IMMEDIATE", lambda: act(self._connection, *args, **kwargs))

    async def read(self, act: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act(connection, …)` on one consistent state of the database."""
        return await self._run("BEGIN", lambda: act(self._connection, *args, **kwargs))

    async def wipe_free_pages(self) -> bool:
        """Rewrite the file without its free pages and empty the write-ahead log.

        Returns whether the log is empty: False while another process still reads an older state.
        """
        return await asyncio.wrap_future(self._worker.submit(self._wipe_free_pages))

    async def verify(self) -> None:
        """Read every page of the file: damage must be found before somebody needs what it hit.

        Raises:
            Damaged: a page is not what it should be.
        """
        if await asyncio.wrap_future(self._worker.submit(_first_fault, self.path)) != "ok":
            raise Damaged(f"{self.path} {_IS_DAMAGED}")

    async def empty_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it; return whether it is, as `wipe_free_pages` does."""
        return await asyncio.wrap_future(self._worker.submit(self._checkpoint))

    async def close(self) -> None:
        """Close the connection after whatever still runs on it."""
        closed = self._worker.submit(self._connection.close)
        self._worker.shutdown(wait=False)
        # Cancellation must not take the closing off the queue.
        await asyncio.shield(asyncio.wrap_future(closed))

    async def _run(self, begin: str, act: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._worker.submit(self._transact, begin, act))

    def _transact(self, begin: str, act: Callable[[], T]) -> T:
        with explained(self.path):
            self._connection.execute(begin)
            try:
                result = act()
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._give_back(error)
                raise
            return result

    def _give_back(self, error: BaseException) -> None:
        # What a transaction has written into the log before the disk was full would keep it full.
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            with suppress(sqlite3.OperationalError):
                self._connection.execute(_EMPTY_LOG)

    def _wipe_free_pages(self) -> bool:
        with explained(self.path):
            try:
                self._connection.execute(_REBUILD)
            except sqlite3.OperationalError as error:
                self._give_back(error)
                raise
            return self._checkpoint()

    def _checkpoint(self) -> bool:
        with explained(self.path):
            busy, _, _ = self._connection.execute(_EMPTY_LOG).fetchone()
            return not busy


def connect(path: Path) -> sqlite3.Connection:
    """Open a diary's file, creating it (mode 0600) with its tables where there is none; raises as `Database` does."""
    try:
        make_folder(path.parent, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Missing(
            f"{path} cannot be written ({error.strerror}): give another --data, or its owner's rights"
        ) from error
    with explained(path):
        _demand_known(_version_on_disk(path), path)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a diary that is there and in use, so that nothing of it can be changed; raises as `Database` does.

    There is no transaction: each statement sees the newest state.
    """
    with explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            connection.execute(_PRAGMAS[0])
            _demand_known(_version(connection), path)
        except BaseException:
            connection.close()
            raise
        return connection


def _close(connecting: Future[sqlite3.Connection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        # Asked again inside the transaction: another process may have made the tables meanwhile.
        version = _version(connection)
        _demand_known(version, path)
        if version == 0:
            for statement in STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _demand_known(version: int, path: Path) -> None:
    if version > SCHEMA_VERSION:
        raise Missing(f"{path} was written by a newer Forewarn (schema {version}): update Forewarn")


def _version_on_disk(path: Path) -> int:
    """Return a diary's version without a change to it: opened for writing, a newer one would lose its kind of journal.

    0 where the file is no diary; whoever opens it finds that out.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as only:
            return _version(only)
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC):
        return 0
    return int.from_bytes(header[_VERSION_AT : _VERSION_AT + 4], signed=True)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _first_fault(path: Path) -> str:
    # A connection of its own: what another one holds in its cache is whole, whatever the disk has become.
    with explained(path), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        fault: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return fault


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what SQLite says about a diary's file as this project's errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the kind of fault; the rest of an extended code says where it happened.
        kind, sentence = _FAULTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, (None, ""))
        if kind is None:
            raise
        raise kind(f"{path} {sentence}") from error
