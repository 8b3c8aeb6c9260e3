"""How a database is opened: durable commits, deleted rows overwritten, and one writer at a time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from forewarn_protocol.errors import Missing

_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_mode = WAL",
    # An answer is given only after the commit is on disk: an acknowledged key or code survives a power cut.
    "PRAGMA synchronous = FULL",
    # Forgotten means overwritten with zeros, not only unlinked.
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
)
_WRITES: Final = "forewarn_writes"
_OVERWRITE_WAIT_S: Final = 1.0
_REBUILD: Final = (
    # In memory: a temporary file in some shared folder would hold what is being forgotten.
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",
    "VACUUM",
)
_EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"


class Database:
    """One open database. Reads see a snapshot; writes take their turn and are whole or not there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{_WRITES: True})
        # SQLite's own waiting is a back-off without fairness: under load it would starve somebody.
        self._turn = asyncio.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the SQLite file at `path`; it must have been migrated (see `schema`)."""
        engine = create_async_engine(make_url("sqlite+aiosqlite://").set(database=str(path)), hide_parameters=True)
        _prepare(engine.sync_engine)
        return cls(engine)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection whose reads all see the same moment."""
        with _faults_are_told():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a write transaction: committed at the end, rolled back on any error."""
        with _faults_are_told():
            async with self._turn, self._writing.begin() as connection:
                yield connection

    async def overwrite_deleted(self) -> bool:
        """Rebuild the file without what was deleted and empty its log; False while a reader is in the way.

        Deleted rows are overwritten at once (secure_delete), but their old pages stay in the log until it is truncated.
        """
        async with self._turn:
            return await asyncio.to_thread(_overwrite_deleted, str(self._engine.url.database))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _overwrite_deleted(path: str) -> bool:
    # A connection of its own: it must not wait as long as others do, for publishes wait behind it.
    with closing(sqlite3.connect(path, isolation_level=None, timeout=_OVERWRITE_WAIT_S)) as connection:
        try:
            for statement in _REBUILD:
                connection.execute(statement)
            (busy, _, _) = connection.execute(_EMPTY_LOG).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise Missing(f"deleted rows cannot be overwritten ({error}): free disk space") from error
            return False
    return bool(busy == 0)


@contextmanager
def _faults_are_told() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        # Full, locked, damaged: the machine's fault. The other kinds of DatabaseError are defects of ours.
        if type(error) not in {DatabaseError, OperationalError}:
            raise
        raise Missing(f"a database cannot be used ({error.orig}): free disk space, or restore a backup") from error


def open_blocking(path: Path) -> Engine:
    """Open the same file for the commands that migrate; every transaction writes."""
    engine = create_engine(make_url("sqlite://").set(database=str(path)), hide_parameters=True)
    _prepare(engine)
    return engine.execution_options(**{_WRITES: True})


def _prepare(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _set(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not open transactions by itself: it would begin them too late, after the first read.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    @event.listens_for(engine, "invalidate")
    def _roll_back(connection: DBAPIConnection, _: ConnectionPoolEntry, __: BaseException | None) -> None:
        # A task cancelled inside a statement leaves its cursor in the traceback, and SQLite keeps a closed connection's
        # transaction, with its lock on all writers, until the last cursor is gone.
        connection.rollback()
