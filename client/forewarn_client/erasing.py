"""Erase a device's diary: its key first, so that whatever happens next, the rest is noise."""

import os
import secrets
from pathlib import Path
from typing import Final

from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE
from forewarn_client.presence import LOCK_FILE, only_daemon
from forewarn_protocol.errors import Missing
from forewarn_shell.files import sync_folder

_FILES: Final = (
    DEVICE_KEY_FILE,
    DATABASE_FILE,
    # SQLite's write-ahead log and its index.
    f"{DATABASE_FILE}-wal",
    f"{DATABASE_FILE}-shm",
    LOCK_FILE,
)


def erase(data: Path) -> bool:
    """Destroy the device key, then delete the diary; settings stay. Return whether there was a diary.

    A start that was killed while it made the key may have left a second name of it: that one goes first.

    Flash storage may keep old pages of a file that was overwritten; the files themselves hold nothing any more.

    Raises:
        BadInput: a daemon works on this data.
        Missing: a file can't be overwritten or deleted; calling again goes on.
    """
    if not any((data / name).exists() for name in _FILES[:2]):
        return False
    with only_daemon(data):
        for path in (*data.glob(f".{DEVICE_KEY_FILE}.*"), *(data / name for name in _FILES)):
            _destroy(path)
        sync_folder(data)
    return True


def _destroy(path: Path) -> None:
    try:
        if DEVICE_KEY_FILE in path.name and path.exists():
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Missing(f"{path} cannot be erased ({error.strerror}): check its owner, then erase again") from error
