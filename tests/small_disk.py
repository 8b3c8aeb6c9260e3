"""A disk of two megabytes that can be filled to its last byte and freed again."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SIZE = "2m"


@dataclass
class SmallDisk:
    """A file system of its own where the tests may mount one; else this process may write no more bytes into files.

    The second is what a user's quota does, and needs no rights.
    """

    folder: Path
    is_mounted: bool

    @classmethod
    @contextmanager
    def made(cls, folder: Path, size: str = SIZE) -> Iterator[Self]:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "forewarn-test", str(folder)]
        is_mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - ours
        disk = cls(folder, is_mounted)
        try:
            yield disk
        finally:
            disk.free()
            if is_mounted:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - the mount of above

    def fill(self) -> None:
        """Leave no room for one byte more."""
        if not self.is_mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        with suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Take away what filled it."""
        if not self.is_mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (self.folder / "filler").unlink(missing_ok=True)
