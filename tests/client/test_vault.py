import asyncio
import sqlite3
import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_client.device import Device
from forewarn_client.diary.schema import STATEMENTS
from forewarn_client.diary.vault import Vault
from forewarn_protocol.errors import BadInput, ForewarnError, Missing

DAY, NEXT_DAY = date(2025, 6, 16), date(2025, 6, 17)


@pytest.fixture
def connection() -> sqlite3.Connection:
    return in_memory()


def in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in STATEMENTS:
        connection.execute(statement)
    return connection


def test_what_a_day_sealed_only_that_day_and_kind_unseals(connection: sqlite3.Connection) -> None:
    vault = Vault(bytes(32))
    sealed = vault.seal(connection, DAY, b"met somebody", b"kind")
    assert b"met somebody" not in sealed
    assert sealed != vault.seal(connection, DAY, b"met somebody", b"kind")
    assert vault.unseal(connection, DAY, sealed, b"kind") == b"met somebody"
    vault.seal(connection, NEXT_DAY, b"", b"kind")
    for day, context in ((NEXT_DAY, b"kind"), (DAY, b"other")):
        with pytest.raises(BadInput, match="damaged"):
            vault.unseal(connection, day, sealed, context)
    connection.close()


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_by_the_seal(data: bytes) -> None:
    connection, vault = in_memory(), Vault(bytes(32))
    vault.seal(connection, DAY, b"", b"kind")
    with pytest.raises(ForewarnError):
        vault.unseal(connection, DAY, data, b"kind")
    connection.close()


def test_every_flipped_bit_is_noticed(connection: sqlite3.Connection) -> None:
    vault = Vault(bytes(32))
    sealed = vault.seal(connection, DAY, b"x", b"kind")
    for at in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(BadInput):
            vault.unseal(connection, DAY, bytes(flipped), b"kind")
    connection.close()


def test_a_day_whose_key_is_destroyed_is_unreadable_and_the_next_day_is_not(connection: sqlite3.Connection) -> None:
    vault = Vault(bytes(32))
    old, new = (vault.seal(connection, day, b"met", b"kind") for day in (DAY, NEXT_DAY))
    assert vault.forget_before(connection, NEXT_DAY) == 1
    with pytest.raises(Missing, match="2025-06-16 is forgotten"):
        vault.unseal(connection, DAY, old, b"kind")
    assert vault.unseal(connection, NEXT_DAY, new, b"kind") == b"met"
    # A new key for the same day does not bring the old entries back.
    vault.seal(connection, DAY, b"", b"kind")
    with pytest.raises(BadInput):
        vault.unseal(connection, DAY, old, b"kind")
    connection.close()


def test_another_device_key_reads_nothing(connection: sqlite3.Connection) -> None:
    sealed = Vault(bytes(32)).seal(connection, DAY, b"met", b"kind")
    with pytest.raises(Missing, match="another device key"):
        Vault(bytes([1] * 32)).unseal(connection, DAY, sealed, b"kind")
    connection.close()


def test_a_wrapped_key_cannot_stand_in_for_another_days(connection: sqlite3.Connection) -> None:
    vault = Vault(bytes(32))
    vault.seal(connection, DAY, b"met", b"kind")
    connection.execute("UPDATE day_keys SET day = day + 1")
    with pytest.raises(Missing):
        vault.seal(connection, NEXT_DAY, b"", b"kind")
    connection.close()


def test_the_device_key_is_made_once_for_its_owner_alone(tmp_path: Path, connection: sqlite3.Connection) -> None:
    path = tmp_path / "data" / "device.key"
    sealed = Vault.open(path).seal(connection, DAY, b"met", b"kind")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["device.key"]
    assert Vault.open(path).unseal(connection, DAY, sealed, b"kind") == b"met"
    connection.close()


async def test_two_commands_that_start_at_once_agree_on_the_device_key(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    connection = in_memory()
    vaults = await asyncio.gather(*(asyncio.to_thread(Vault.open, path) for _ in range(8)))
    sealed = vaults[0].seal(connection, DAY, b"met", b"kind")
    assert all(vault.unseal(connection, DAY, sealed, b"kind") == b"met" for vault in vaults)
    connection.close()


def test_a_folder_that_cannot_hold_a_device_key_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Missing, match="give another --data"):
        Vault.open(tmp_path / "file" / "device.key")


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33), bytes(5000)])
def test_a_file_that_is_no_device_key_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "device.key"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        Vault.open(path)
    assert path.read_bytes() == content


async def test_no_file_holds_a_day_key_or_a_plaintext(device: Device) -> None:
    """The wrapped key and the ciphertext are found in the files, so the search works; what they hide is not."""
    plaintext = b"a sentence that must not be on the disk"

    def keep(connection: sqlite3.Connection) -> bytes:
        sealed = device.vault.seal(connection, DAY, plaintext, b"kind")
        connection.execute("INSERT INTO scan_windows (day, sealed) VALUES (20255, ?)", (sealed,))
        wrapped: bytes = connection.execute("SELECT wrapped FROM day_keys").fetchone()[0]
        key = device.vault._unwrap(20255, wrapped)
        return b"".join((wrapped, sealed, key))

    found = await device.database.write(keep)
    wrapped, sealed, key = found[:60], found[60:-32], found[-32:]
    content = b"".join(file.read_bytes() for file in device.settings.data.iterdir())
    assert wrapped in content
    assert sealed in content
    assert key not in content
    assert plaintext not in content
