"""What a comparison found, on its way to the diary: sealed rows in a file without a name, never all in memory."""

import errno
import os
import struct
from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, Final

from forewarn_client.diary.vault import day_from, day_number

_ROW: Final = struct.Struct("<iI")


def put(file: BinaryIO, day: date, sealed: bytes) -> None:
    """Add a row of a UTC day to a file without a buffer: what a full disk does not take must not be noticed later.

    Raises:
        OSError: the disk is full.
    """
    row = _ROW.pack(day_number(day), len(sealed)) + sealed
    if file.write(row) != len(row):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def rows(file: BinaryIO) -> Iterator[tuple[date, bytes]]:
    """Yield each row's UTC day and what it holds, from the beginning."""
    file.seek(0)
    while head := file.read(_ROW.size):
        number, size = _ROW.unpack(head)
        yield day_from(number), file.read(size)
