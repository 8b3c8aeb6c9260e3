"""Everything one device knows, opened together: settings, clock, diary, own keys, what the jobs last did."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from forewarn_client.assessing.questions import Place
from forewarn_client.board import StatusBoard
from forewarn_client.config import ClientSettings
from forewarn_client.diary.database import Database
from forewarn_client.diary.store import Diary
from forewarn_client.diary.vault import Vault
from forewarn_client.keyring import Keyring
from forewarn_client.trust import Trust
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock

DATABASE_FILE: Final = "diary.db"
DEVICE_KEY_FILE: Final = "device.key"
RESERVE_FILE: Final = "reserve"
MOVED_FILE: Final = "moved"
"""An empty file: the diary that was here has moved to another device, and what is left of it is to be destroyed."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the jobs and the person's commands work on; a daemon and a command may have the same one open."""

    settings: ClientSettings
    clock: Clock
    database: Database
    vault: Vault
    diary: Diary
    keyring: Keyring
    status: StatusBoard
    trust: Trust

    @property
    def place(self) -> Place:
        """Where the diary and its key lie, for who reads them in a process of its own."""
        return Place(self.settings.data / DATABASE_FILE, self.settings.data / DEVICE_KEY_FILE)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ClientSettings, clock: Clock) -> AsyncIterator[Self]:
        """Open the device in `settings.data`, making folder, key and database where there are none.

        Raises:
            Missing: folder or files can't be used, the device key is gone, the diary has moved to another device, or a
                newer Forewarn wrote it.
            Damaged: the files are damaged.
        """
        _refuse_moved(settings.data)
        database = await Database.open(settings.data / DATABASE_FILE)
        try:
            key_file = settings.data / DEVICE_KEY_FILE
            if not key_file.exists() and await database.read(_holds_day_keys):
                # A new key in its place would hide that the old one is gone, and could not read what it wrapped.
                raise Missing(
                    f"{key_file} is gone, and the diary is sealed with it: bring it back, or erase to start anew"
                )
            vault = Vault.open(key_file)
            board = StatusBoard(database, clock)
            yield cls(
                settings=settings,
                clock=clock,
                database=database,
                vault=vault,
                diary=Diary(database, vault),
                keyring=Keyring(database, vault),
                status=board,
                trust=Trust(settings, database, board, clock),
            )
        finally:
            await database.close()


def demand_diary(data: Path) -> None:
    """Refuse a folder that has no diary, so that looking for one makes none.

    Raises:
        Missing: no daemon ever ran here, or the diary has moved to another device.
    """
    _refuse_moved(data)
    if not (data / DATABASE_FILE).exists():
        raise Missing(f"there is no diary in {data}: start the daemon with 'run', or give another --data")


def _refuse_moved(data: Path) -> None:
    if (data / MOVED_FILE).exists():
        raise Missing(f"the diary of {data} has moved to another device: run 'erase' to start a new one here")


def _holds_day_keys(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM day_keys LIMIT 1").fetchone() is not None
