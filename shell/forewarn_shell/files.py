"""Files that are whole or not there: bounded reads, durable writes."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forewarn_protocol.errors import BadInput

_RANDOM_BYTES: Final = 4
_LEFT_OVERS: Final = ".*." + "[0-9a-f]" * 2 * _RANDOM_BYTES
"""What `temporary_beside` names, as a pattern."""


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Return a file's bytes, reading at most `limit_bytes`.

    Raises:
        BadInput: there is no such file, it may not be read, or it is larger than the limit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except IsADirectoryError as error:
        raise BadInput(f"{path} is a folder: give a file") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): check the path") from error
    if len(data) > limit_bytes:
        raise BadInput(f"{path} is larger than {limit_bytes} bytes: this is not the right file")
    return data


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that after a power cut there is the old one or the new one, never half of it."""
    write_together({path: data}, mode=mode)


def write_together(contents: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """Write files of one folder durably; between old and new, a reader finds them apart only for an instant."""
    staged: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            make_folder(path.parent)
            temporary = staged[path] = temporary_beside(path)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            temporary.replace(path)
    except BaseException:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in contents}:
        sync_folder(folder)


def temporary_beside(path: Path) -> Path:
    """Return a hidden name of its own in the same folder, for a file that is renamed to `path` once it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}")


def clear_left_overs(folder: Path) -> None:
    """Delete what writers that were killed left under `folder`; the caller sees to it that nobody writes there now."""
    left_over = list(folder.rglob(_LEFT_OVERS))
    for path in left_over:
        path.unlink(missing_ok=True)
    for parent in {path.parent for path in left_over}:
        sync_folder(parent)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, so that a power cut takes none of them away with all that is put in later."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=mode, exist_ok=True)
        sync_folder(path.parent)
    # Says what is in the way, where it is no folder that exists already.
    folder.mkdir(exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable: a rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
