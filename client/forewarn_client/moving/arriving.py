"""`move in`: a diary is built beside its place from a file, and put in place whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, MOVED_FILE, Device
from forewarn_client.erasing import INCOMING_FOLDER, destroy, discard_unfinished
from forewarn_client.moving.contents import SETTINGS, Manifest, read_contents, read_manifest
from forewarn_client.moving.passphrase import Passphrase
from forewarn_client.moving.sealed_file import SealedReader
from forewarn_client.presence import only_daemon
from forewarn_protocol.errors import BadInput, BadSettings, Missing
from forewarn_shell.clock import Clock
from forewarn_shell.files import sync_folder, write_durably

MAX_AGE_S: Final = 48 * 3600
MAX_AHEAD_S: Final = 600
"""By which two devices' clocks may differ without the file counting as one from the future."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came: whether settings came along, and whether the file could be deleted."""

    took_settings: bool
    file_deleted: bool


async def move_in(settings: ClientSettings, clock: Clock, path: Path, passphrase: Passphrase) -> Arrived:
    """Bring a diary in from a file and delete the file; the diary appears whole, or nothing changes.

    Raises:
        BadInput: there is a diary here, or the file is damaged, of another region, or too old.
        NotVerified: the passphrase is wrong.
        Missing: the file was made by a newer Forewarn, or the diary can't be written.
    """
    demand_room(settings.data)
    with _opened(path) as file:
        reader = SealedReader(file, passphrase)
        manifest = read_manifest(reader)
        _demand_fresh(manifest, clock.utc())
        adopts = _adopted(settings, manifest)
        with only_daemon(settings.data):
            demand_room(settings.data)
            discard_unfinished(settings.data)
            try:
                await _build(settings, clock, manifest, reader)
            except BaseException:
                discard_unfinished(settings.data)
                raise
            _put_in_place(settings.data, adopts)
    return Arrived(bool(adopts), _deleted(path))


def demand_room(data: Path) -> None:
    """Refuse a device that has a diary.

    Raises:
        BadInput: it has.
    """
    # Beside the mark of an earlier `move out` lies, at most, what that one still has to destroy.
    if (data / DATABASE_FILE).exists():
        raise BadInput(f"there is a diary in {data}: give another --data, or erase that one first")


async def _build(settings: ClientSettings, clock: Clock, manifest: Manifest, reader: SealedReader) -> None:
    staged = settings.model_copy(update={"data": settings.data / INCOMING_FOLDER})
    async with Device.open(staged, clock) as device:
        await device.database.write(read_contents, device, manifest, reader)
        # All of it into the one file that is put in place.
        if not await device.database.wipe_free_pages():
            raise Missing(f"{staged.data} is read by another program: close it, then run 'move in' again")


def _put_in_place(data: Path, adopted: str) -> None:
    incoming = data / INCOMING_FOLDER
    if adopted:
        write_durably(data / SETTINGS_FILE, adopted.encode(), mode=0o600)
    # The mark first: beside a diary it would tell an earlier `move out` to go on destroying.
    destroy(data / MOVED_FILE)
    sync_folder(data)
    (incoming / DEVICE_KEY_FILE).replace(data / DEVICE_KEY_FILE)
    sync_folder(data)
    (incoming / DATABASE_FILE).replace(data / DATABASE_FILE)
    sync_folder(data)
    discard_unfinished(data)


def _demand_fresh(manifest: Manifest, now_s: float) -> None:
    if now_s - manifest.created_s > MAX_AGE_S:
        raise BadInput("the file is over 48 hours old: it is no longer taken in, and its diary is gone")
    if manifest.created_s - now_s > MAX_AHEAD_S:
        raise BadInput("the file was made in the future: set this device's clock, then try again")


def _adopted(settings: ClientSettings, manifest: Manifest) -> str:
    """Return the settings file that comes along; none where this device has one."""
    has_own = (settings.data / SETTINGS_FILE).exists()
    if manifest.region != settings.region and (has_own or "region" in settings.model_fields_set):
        raise BadInput(
            f"the file's diary is of the region {manifest.region}, and this device's is {settings.region}: "
            f'set region = "{manifest.region}" in {SETTINGS_FILE}, with that region\'s server and key'
        )
    moved = {name: value for name, value in manifest.settings.items() if name in SETTINGS}
    moved["region"] = manifest.region
    if has_own:
        return ""
    try:
        ClientSettings.load(data=settings.data, **moved)
    except BadSettings:
        raise BadInput("the file holds what no diary has: write it anew with 'move out'") from None
    # JSON's strings, numbers and lists of strings are TOML's, too.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in moved.items())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}): check the path") from error
    with file:
        yield file


def _deleted(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
