"""Erase a device's diary: its key first, so that whatever happens next, the rest is noise."""

import os
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, MOVED_FILE, RESERVE_FILE
from forewarn_client.mending import MENDED_FILE, UNFINISHED_FILE
from forewarn_client.page.keys import PAGE_KEY_FILE
from forewarn_client.presence import LOCK_FILE, only_daemon
from forewarn_protocol.errors import Missing
from forewarn_shell.files import sync_folder

INCOMING_FOLDER: Final = "incoming"
"""In the data folder, while a diary moves in: a whole device of its own until it is put in place."""

ERASURE_MARK: Final = "erase"
"""The wish of a person's command that the daemon erase all this; gone once that is done."""

_FILES: Final = (
    DEVICE_KEY_FILE,
    DATABASE_FILE,
    # Each with SQLite's write-ahead log and its index.
    *(f"{name}{suffix}" for suffix in ("-wal", "-shm") for name in (DATABASE_FILE, UNFINISHED_FILE)),
    UNFINISHED_FILE,
    MENDED_FILE,
    RESERVE_FILE,
    PAGE_KEY_FILE,
    LOCK_FILE,
    MOVED_FILE,
    ERASURE_MARK,
)


def erase(data: Path) -> bool:
    """Destroy the device key, then delete the diary; settings stay. Return whether there was a diary.

    A start that was killed while it made the key may have left a second name of it: that one goes first.

    Flash storage may keep old pages of a file that was overwritten; the files themselves hold nothing any more.

    Raises:
        BadInput: a daemon works on this data.
        Missing: a file can't be overwritten or deleted; calling again goes on.
    """
    if not any((data / name).exists() for name in (*_FILES[:2], MOVED_FILE, INCOMING_FOLDER)):
        return False
    with only_daemon(data):
        discard_unfinished(data)
        _destroy_all(data)
    return True


def destroy_moved(data: Path) -> None:
    """Destroy the diary whose file is whole, and keep the mark that says so; the caller holds the folder's lock.

    Raises:
        Missing: a file can't be overwritten or deleted; calling again goes on.
    """
    _destroy_all(data, but=frozenset({MOVED_FILE}))


def destroy_under_lock(data: Path) -> None:
    """Destroy the diary, and keep the lock that the caller holds, and the mark that says what is going on.

    Raises:
        Missing: a file can't be overwritten or deleted; calling again goes on.
    """
    discard_unfinished(data)
    _destroy_all(data, but=frozenset({LOCK_FILE, ERASURE_MARK}))


def discard_unfinished(data: Path) -> None:
    """Destroy what a `move in` that was cut off left behind; the caller holds the folder's lock.

    Raises:
        Missing: a file can't be overwritten or deleted.
    """
    incoming = data / INCOMING_FOLDER
    if not incoming.is_dir():
        return
    if not (data / DATABASE_FILE).exists():
        # The key may have been put in place already, and then nothing but the unfinished diary is sealed with it.
        destroy(data / DEVICE_KEY_FILE)
    _destroy_all(incoming)
    try:
        incoming.rmdir()
    except OSError as error:
        raise _refused(incoming, error) from error
    sync_folder(data)


def destroy(path: Path) -> None:
    """Delete a file of the diary; a key is overwritten first.

    Raises:
        Missing: the system refuses.
    """
    try:
        if DEVICE_KEY_FILE in path.name and path.exists():
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


def _destroy_all(folder: Path, but: Collection[str] = ()) -> None:
    for path in (*folder.glob(f".{DEVICE_KEY_FILE}.*"), *(folder / name for name in _FILES if name not in but)):
        destroy(path)
    sync_folder(folder)


def _refused(path: Path, error: OSError) -> Missing:
    return Missing(f"{path} cannot be erased ({error.strerror}): check its owner, then erase again")
