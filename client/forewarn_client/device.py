"""Everything one device knows, opened together: settings, clock, diary, own keys, what the jobs last did."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from forewarn_client.board import StatusBoard
from forewarn_client.config import ClientSettings
from forewarn_client.diary.database import Database
from forewarn_client.diary.store import Diary
from forewarn_client.diary.vault import Vault
from forewarn_client.keyring import Keyring
from forewarn_shell.clock import Clock

DATABASE_FILE: Final = "diary.db"
DEVICE_KEY_FILE: Final = "device.key"


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

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ClientSettings, clock: Clock) -> AsyncIterator[Self]:
        """Open the device in `settings.data`, making folder, key and database where there are none.

        Raises:
            Missing: folder or files can't be used, or a newer Forewarn wrote them.
            BadInput: the files are damaged.
        """
        database = await Database.open(settings.data / DATABASE_FILE)
        try:
            vault = Vault.open(settings.data / DEVICE_KEY_FILE)
            yield cls(
                settings=settings,
                clock=clock,
                database=database,
                vault=vault,
                diary=Diary(database, vault),
                keyring=Keyring(database, vault),
                status=StatusBoard(database, clock),
            )
        finally:
            await database.close()
