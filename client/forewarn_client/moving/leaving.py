"""`move out`: the diary goes into a file, and only once that file is whole does this device lose its own.

The order is the safety: file written and on the disk, read back and compared, the mark set, the device key destroyed,
the rest deleted. Whatever breaks off before the mark leaves this device as it was; whatever breaks off after it leaves
the file, and the same command again destroys what is left.
"""

import hashlib
import os
import sqlite3
from pathlib import Path

from forewarn_client.config import ClientSettings
from forewarn_client.device import DEVICE_KEY_FILE, MOVED_FILE, Device, demand_diary
from forewarn_client.erasing import destroy, destroy_moved, discard_unfinished
from forewarn_client.moving.contents import write_contents
from forewarn_client.moving.passphrase import Passphrase
from forewarn_client.moving.sealed_file import CHUNK_BYTES, COST, Cost, SealedReader, SealedWriter
from forewarn_client.new_files import new_file
from forewarn_client.presence import only_daemon
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock
from forewarn_shell.files import sync_folder


def finish(data: Path) -> None:
    """Destroy what a `move out` that was cut off after its mark has left; the mark stays."""
    with only_daemon(data):
        destroy_moved(data)


async def move_out(
    settings: ClientSettings, clock: Clock, path: Path, passphrase: Passphrase, cost: Cost = COST
) -> int:
    """Move the diary into a new file and destroy it here; return how many damaged entries were left out.

    Raises:
        BadInput: a daemon works on the diary, or there is a file of that name.
        Missing: there is no diary, or the file can't be written; the diary is as it was.
    """
    demand_diary(settings.data)
    with only_daemon(settings.data):
        discard_unfinished(settings.data)
        async with Device.open(settings, clock) as device:
            # As one transaction, so that no other command adds to the diary what the file lacks. The key goes inside
            # of it, too: what is written after it could never be read.
            damaged = await device.database.write(_hand_over, device, path, passphrase, cost)
        destroy_moved(settings.data)
    return damaged


def _hand_over(connection: sqlite3.Connection, device: Device, path: Path, passphrase: Passphrase, cost: Cost) -> int:
    with new_file(path) as file:
        writer = SealedWriter(file, passphrase, cost)
        damaged = write_contents(connection, device, writer)
        writer.finish()
    try:
        _demand_whole(path, passphrase, writer.digest.digest())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    (device.settings.data / MOVED_FILE).touch(0o600)
    sync_folder(device.settings.data)
    destroy(device.settings.data / DEVICE_KEY_FILE)
    return damaged


def _demand_whole(path: Path, passphrase: Passphrase, digest: bytes) -> None:
    found = hashlib.sha256()
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            # Out of the cache, so that what is read is what the disk has kept.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        reader = SealedReader(file, passphrase)
        while part := reader.take(CHUNK_BYTES):
            found.update(part)
    if found.digest() != digest:
        raise Missing(f"{path} does not hold what was written: nothing has moved, give a file on another disk")
