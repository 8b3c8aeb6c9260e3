"""A little disk space kept back, so that what must be destroyed can be destroyed on a full disk too."""

import os
from contextlib import suppress
from pathlib import Path


class Reserve:
    """A file that holds nothing but its place on the disk."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def hold(self) -> None:
        """Take the place, or as much of it as there is: without it everything works, until the disk is full."""
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size >= self._size_bytes:
                return
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            finally:
                os.close(descriptor)

    def release(self) -> None:
        """Give the place back to whoever writes next."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
