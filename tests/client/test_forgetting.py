import sqlite3
from datetime import date, timedelta

import pytest

from forewarn_client import forgetting
from forewarn_client.board import FORGETTING_OVERDUE_SINCE
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.diary.vault import day_number
from forewarn_client.forgetting import forget
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S

TODAY = date(2025, 6, 16)
DAY_S = 86_400


async def live(device: Device, days: range) -> None:
    """Fill the diary: on each day (0 is today) some windows and an own key, and a row in every other daily table."""
    for day in days:
        noon_s = NOON_S + day * DAY_S
        for number in range(3):
            heard = {bytes([i] * 20): [(0, -60)] * 16 for i in range(40)}
            await device.diary.record(ScanWindow(noon_s + 300 * number, 300.0, heard))
        await device.keyring.next_identifier(interval_at(noon_s))

        def plant(connection: sqlite3.Connection, day: date) -> None:
            sealed = device.vault.seal(connection, day, b"something of that day", b"kind")
            connection.execute("INSERT INTO matches (day, sealed) VALUES (?, ?)", (day_number(day), sealed))
            connection.execute("INSERT INTO alerts (day, sealed) VALUES (?, ?)", (day_number(day), sealed))

        await device.database.write(plant, day_at(noon_s))


async def secrets_of(device: Device, before: date) -> set[bytes]:
    """Return every wrapped key and ciphertext of the days before `before`."""

    def gather(connection: sqlite3.Connection) -> set[bytes]:
        return {
            blob
            for table, column in (("day_keys", "wrapped"), *((table, "sealed") for table in DAILY_TABLES))
            for (blob,) in connection.execute(f"SELECT {column} FROM {table} WHERE day < ?", (day_number(before),))  # noqa: S608 - ours
        }

    return await device.database.read(gather)


def found_in_files(device: Device, secrets: set[bytes]) -> int:
    """Count the secrets of which some 24 bytes stand in any file of the data folder."""
    content = b"".join(file.read_bytes() for file in device.settings.data.iterdir())
    # A long entry is spread over pages: its beginning and its end are looked for.
    return sum(secret[:24] in content or secret[-24:] in content for secret in secrets)


async def test_the_bytes_of_a_forgotten_day_are_in_the_files_before_and_not_after(device: Device) -> None:
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, TODAY - timedelta(days=14))
    assert len(secrets) == 6 * (1 + 3 + 1 + 1)
    assert found_in_files(device, secrets) == len(secrets)
    kept = await secrets_of(device, date.max) - secrets

    assert await forget(device)

    assert found_in_files(device, secrets) == 0
    assert found_in_files(device, kept) == len(kept)
    assert await secrets_of(device, TODAY - timedelta(days=14)) == set()
    assert FORGETTING_OVERDUE_SINCE not in await device.status.read()


async def test_deleting_alone_leaves_bytes_behind(device: Device) -> None:
    """Positive control: without the wiping of pages, the same search still finds what was deleted."""
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, TODAY)
    await device.database.write(lambda c: c.execute("DELETE FROM day_keys").rowcount)
    await device.database.write(lambda c: c.execute("DELETE FROM scan_windows").rowcount)
    assert found_in_files(device, secrets) > 0


async def test_fourteen_days_and_today_are_kept(device: Device, clock: VirtualClock) -> None:
    await live(device, range(-16, 1))
    await forget(device)
    days = await device.diary.encounters_per_day(date(2025, 1, 1))
    assert list(days) == [TODAY - timedelta(days=days) for days in range(14, -1, -1)]
    clock.jump(DAY_S / 2 - 1)  # one second before midnight
    await forget(device)
    assert len(await device.diary.encounters_per_day(date(2025, 1, 1))) == 15
    clock.jump(1)
    await forget(device)
    assert min(await device.diary.encounters_per_day(date(2025, 1, 1))) == TODAY - timedelta(days=13)


async def test_forgetting_is_overdue_while_another_program_reads_the_old_pages(
    device: Device, clock: VirtualClock
) -> None:
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, TODAY - timedelta(days=14))
    reader = sqlite3.connect(device.settings.data / "diary.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM scan_windows").fetchone()

    await device.database.read(lambda c: c.execute("PRAGMA busy_timeout = 50").fetchone())
    assert not await forget(device)
    assert (await device.status.read())[FORGETTING_OVERDUE_SINCE] == NOON_S
    assert found_in_files(device, secrets) > 0
    clock.jump(3600)
    assert not await forget(device)
    assert (await device.status.read())[FORGETTING_OVERDUE_SINCE] == NOON_S

    reader.close()
    assert await forget(device)
    assert FORGETTING_OVERDUE_SINCE not in await device.status.read()
    assert found_in_files(device, secrets) == 0


async def test_a_break_after_the_keys_are_destroyed_is_mended_by_the_next_call(device: Device) -> None:
    await live(device, range(-20, 1))
    first_kept = TODAY - timedelta(days=14)
    secrets = await secrets_of(device, first_kept)
    await device.database.write(forgetting._destroy_keys, device.vault, first_kept, NOON_S)
    assert await secrets_of(device, first_kept)
    assert await forget(device)
    assert await secrets_of(device, first_kept) == set()
    assert found_in_files(device, secrets) == 0


async def test_a_days_key_is_destroyed_before_its_rows_are_touched(device: Device) -> None:
    await live(device, range(-20, 1))
    first_kept = TODAY - timedelta(days=14)
    fault = "CREATE TRIGGER fault BEFORE DELETE ON scan_windows BEGIN SELECT RAISE(ABORT, 'rows stay'); END"
    await device.database.write(sqlite3.Connection.execute, fault)
    with pytest.raises(sqlite3.IntegrityError, match="rows stay"):
        await forget(device)

    def days(connection: sqlite3.Connection, table: str) -> int:
        found: int = connection.execute("SELECT min(day) FROM " + table).fetchone()[0]  # noqa: S608 - two constants
        return found

    assert await device.database.read(days, "scan_windows") < day_number(first_kept)
    assert await device.database.read(days, "day_keys") == day_number(first_kept)


async def test_with_nothing_to_forget_nothing_is_written(device: Device) -> None:
    await live(device, range(-3, 1))
    log = device.settings.data / "diary.db-wal"
    before = log.read_bytes()
    assert await forget(device)
    assert log.read_bytes() == before
