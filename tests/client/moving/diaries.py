"""A lived-in diary, moved with an argon2id that costs a test nothing."""

import sqlite3
from datetime import date
from pathlib import Path

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.moving.arriving import Arrived, move_in
from forewarn_client.moving.leaving import move_out
from forewarn_client.moving.passphrase import Passphrase
from forewarn_client.moving.sealed_file import Cost
from forewarn_protocol.identifiers import identifiers
from forewarn_protocol.intervals import Interval, interval_at
from forewarn_shell.clock import Clock
from tests.client.honest_server import HonestServer

DAY_S = 24 * 3600
WORDS = Passphrase.typed("river lantern copper window seven")
CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)


def settings_of(data: Path, known: HonestServer | None = None, **given: object) -> ClientSettings:
    server = {} if known is None else {"server": known.url, "public_key": (known.public_key,)}
    return ClientSettings(**{"data": data, "assessing": "thread", **server, **given})


async def out(settings: ClientSettings, clock: Clock, path: Path) -> int:
    return await move_out(settings, clock, path, WORDS, CHEAP)


async def into(data: Path, clock: Clock, path: Path, **given: object) -> Arrived:
    return await move_in(settings_of(data, **given), clock, path, WORDS)  # type: ignore[arg-type]


async def speak(device: Device, days_ago: range) -> None:
    now = interval_at(device.clock.utc())
    for days in days_ago:
        assert await device.keyring.next_identifier(Interval(now - 144 * days)) is not None


async def spoken(device: Device) -> set[bytes]:
    """Return every identifier that this device may have on its conscience."""

    def gather(connection: sqlite3.Connection) -> set[bytes]:
        return {
            identifiers(key.tek.key, key.tek.rolling_start, key.tek.rolling_period)[interval - key.tek.rolling_start]
            for key in device.keyring.held_within(connection, date(1970, 1, 1))
            for interval in key.spoken
        }

    return await device.database.read(gather)


async def speaks_now(device: Device, times: int) -> set[bytes]:
    """Let a device speak on and return what it says."""
    said = set()
    for ahead in range(times):
        taken = await device.keyring.next_identifier(Interval(interval_at(device.clock.utc()) + ahead))
        if taken is not None:
            tek, interval = taken
            said.add(identifiers(tek.key, tek.rolling_start, tek.rolling_period)[interval - tek.rolling_start])
    return said


def content(path: Path) -> bytes | None:
    """Return what a file holds; None where there is none."""
    return path.read_bytes() if path.exists() else None


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def names_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
