"""Where the diary lies: whether there is space, whether it can be written, whether nobody else can read it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE
from forewarn_client.doctor.checks import Check
from forewarn_client.status import DISK_IS_FULL_BELOW_BYTES

SPACE_IS_SHORT_BELOW_BYTES: Final = 64 * 1024 * 1024
"""A fortnight among many people, and the rewriting of the diary when a day is forgotten, fit with room to spare."""
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Storage:
    """Facts about the diary's folder; `readable` names those of its files that other users of this machine may open."""

    folder: Path
    exists: bool
    writable: bool
    free_bytes: int
    open_to_others: bool = False
    readable: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Look at a folder, or at the nearest one above it where it is to be made."""
        standing = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path("/"))
        kept = (folder / name for name in (DEVICE_KEY_FILE, DATABASE_FILE))
        return cls(
            folder=folder,
            exists=folder.is_dir(),
            writable=os.access(standing, os.W_OK | os.X_OK) and (standing == folder or not folder.exists()),
            free_bytes=shutil.disk_usage(standing).free,
            open_to_others=folder.is_dir() and _is_open(folder),
            readable=tuple(path.name for path in kept if path.exists() and _is_open(path)),
        )


def judge_storage(storage: Storage) -> list[Check]:
    """Judge space, rights and privacy."""
    return [_space(storage), _folder(storage)]


def _space(storage: Storage) -> Check:
    megabytes = f"{storage.free_bytes / 1e6:,.0f} MB are free"
    if storage.free_bytes < DISK_IS_FULL_BELOW_BYTES:
        return Check.failure("disk", "full, nothing new is spoken, recorded or matched: free some space")
    if storage.free_bytes < SPACE_IS_SHORT_BELOW_BYTES:
        return Check.warning("disk", f"{megabytes}: free some space before it is full")
    return Check.ok("disk", megabytes)


def _folder(storage: Storage) -> Check:
    folder = storage.folder
    if not storage.writable:
        return Check.failure("diary", f"{folder} cannot be written: give another --data, or its owner's rights")
    close = f'run "chmod -R go= {folder}"'
    if storage.readable:
        return Check.failure("diary", f"other users may open {' and '.join(storage.readable)}: {close}")
    if storage.open_to_others:
        return Check.warning("diary", f"other users may look into {folder}: {close}")
    if not storage.exists:
        return Check.ok("diary", f"{folder} is made when the daemon starts")
    return Check.ok("diary", f"{folder} can be written, and nobody else can read it")


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & _OTHERS)
