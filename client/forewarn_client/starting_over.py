"""Starting over: a person's command asks the daemon, which holds the diary, to erase it and to begin a new one."""

import asyncio
from pathlib import Path
from typing import Final

from forewarn_client.board import PAUSED_UNTIL
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.erasing import ERASURE_MARK, destroy, destroy_under_lock
from forewarn_client.presence import nudge
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock
from forewarn_shell.files import read_bounded, sync_folder, write_durably

_THEN_PAUSED: Final = b"then paused"


class ErasureAsked(Exception):
    """The person wants this diary erased: no fault, and nothing that a later try would mend."""


def ask(data: Path, *, then_paused: bool) -> None:
    """Ask the daemon that works on `data` to erase the diary and to begin a new one, with a pause or without.

    Raises:
        Missing: the wish can't be written.
    """
    try:
        write_durably(data / ERASURE_MARK, _THEN_PAUSED if then_paused else b"", mode=0o600)
    except OSError as error:
        raise Missing(f"{data} cannot be written ({error.strerror}): check its owner, and the disk") from error
    nudge(data)


def is_asked(data: Path) -> bool:
    """Tell whether an erasure was asked for and is not done yet."""
    return (data / ERASURE_MARK).exists()


def demand_not_asked(data: Path) -> None:
    """Raise ErasureAsked where one was asked for."""
    if is_asked(data):
        raise ErasureAsked


async def start_over(settings: ClientSettings, clock: Clock) -> None:
    """Erase what is to be erased; the caller holds the folder's lock. Killed at any step, the next start goes on.

    Raises:
        Missing: a file can't be deleted or written.
    """
    data = settings.data
    then_paused = read_bounded(data / ERASURE_MARK, len(_THEN_PAUSED)) == _THEN_PAUSED
    await asyncio.to_thread(destroy_under_lock, data)
    if then_paused:
        async with Device.open(settings, clock) as device:
            await device.status.note(PAUSED_UNTIL, True)  # noqa: FBT003 - a JSON value
    destroy(data / ERASURE_MARK)
    sync_folder(data)
