"""Begins a damaged diary anew with all that can still be read of it: the person may never look.

What cannot be read is lost either way. A diary that waits to be erased by hand would be mute meanwhile, and nothing in
it would be forgotten.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from forewarn_client.board import MENDED_S, note
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE
from forewarn_client.diary.database import connect
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.diary.vault import KEY_BYTES
from forewarn_protocol.errors import Missing
from forewarn_shell.files import sync_folder

UNFINISHED_FILE: Final = f"{DATABASE_FILE}.mending"
"""Copies of what could be read, until a new diary is whole."""
MENDED_FILE: Final = f"{DATABASE_FILE}.mended"
"""Whole, and not yet in place: after a power cut the next start puts it there."""
_LOGS: Final = ("-wal", "-shm")

# Done files are matched once more: the matches of one of them may be what was lost.
_NOT_KEPT: Final = frozenset({"finished_files"})
_SEALED: Final = frozenset({"day_keys", *DAILY_TABLES})


def is_lost(data: Path) -> bool:
    """Tell whether there was a diary, by its key, and its file is gone or empty."""
    path = data / DATABASE_FILE
    return (data / DEVICE_KEY_FILE).exists() and (not path.exists() or path.stat().st_size == 0)


def mend(data: Path, now_s: float) -> int:
    """Put a new diary in the place of one that is damaged; return how many of its entries could be kept.

    The caller holds the folder's lock, and has closed the diary. Where the device key is damaged, no sealed entry is of
    use any more, and a new key is made at the next opening.

    Raises:
        Missing: the disk is full, or a file can't be written; calling again begins anew.
    """
    finish(data)
    key_file = data / DEVICE_KEY_FILE
    key_is_whole = not key_file.exists() or key_file.stat().st_size == KEY_BYTES
    unfinished = data / UNFINISHED_FILE
    with closing(connect(unfinished)) as fresh:
        kept = _salvage(data / DATABASE_FILE, fresh, but=_NOT_KEPT if key_is_whole else _NOT_KEPT | _SEALED)
        note(fresh, MENDED_S, now_s)
        fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    unfinished.replace(data / MENDED_FILE)
    sync_folder(data)
    if not key_is_whole:
        key_file.unlink(missing_ok=True)
    finish(data)
    return kept


def finish(data: Path) -> None:
    """Put a mended diary in its place that an earlier run could not; the caller holds the folder's lock."""
    mended, path = data / MENDED_FILE, data / DATABASE_FILE
    try:
        # What a run that was killed had copied: days' keys among it, which no forgetting would reach.
        _remove(data / UNFINISHED_FILE)
        if mended.exists():
            # The old one's log would be taken for the new one's.
            for suffix in _LOGS:
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            mended.replace(path)
            sync_folder(data)
    except OSError as error:
        raise Missing(f"{path} cannot be written ({error.strerror}): check the owner of its folder") from error


def _remove(path: Path) -> None:
    for suffix in ("", *_LOGS):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _salvage(damaged: Path, fresh: sqlite3.Connection, but: frozenset[str]) -> int:
    tables = [
        name for (name,) in fresh.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name not in but
    ]
    kept = 0
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(damaged, isolation_level=None)) as old:
        # Else a file that is shorter than it says is refused whole.
        old.execute("PRAGMA writable_schema = ON")
        for table in sorted(tables):
            columns = [row[1] for row in fresh.execute(f"PRAGMA table_info({table})")]
            into = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own tables
            fresh.execute("BEGIN")
            for row in _readable(old, table, columns):
                with suppress(sqlite3.IntegrityError):  # damaged into what this column can't hold
                    kept += fresh.execute(into, row).rowcount
            fresh.execute("COMMIT")
    return kept


def _readable(old: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that can be read; a damaged page costs itself, and at most as many rows after it."""
    select = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608 - our own tables
    after, skip = -1, 1
    while after < 2**62:
        try:
            for number, *row in old.execute(select, (after,)):
                after, skip = number, 1
                yield tuple(row)
        except sqlite3.DatabaseError:
            after, skip = after + skip, 2 * skip
        else:
            return
