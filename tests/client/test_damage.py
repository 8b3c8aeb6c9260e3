import sqlite3
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import damage
from forewarn_client.alerts import active_alerts
from forewarn_client.condition import condition_of
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.status import ALERT_IS_ACTIVE, NOTHING_TO_DO, glance, look
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import confirmed, key_of_day, meet, phone, stored_matches

DAY = date(2025, 6, 15)
CASES = [key_of_day(NOON_S - DAY_S * days, days) for days in (1, 2)]


@pytest.fixture
async def warned(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that was warned of two days."""
    async with phone(server, tmp_path / "phone", clock) as device:
        for days, case in enumerate(CASES, start=1):
            await meet(device, case, NOON_S - DAY_S * days, 30)
        server.put_export([confirmed(case) for case in CASES])
        await fetch(device)
        assert len(await judge(device)) == 2
        yield device


async def spoil(device: Device, table: str, column: str = "sealed", *, rows: int = 1) -> None:
    """Turn one bit of the newest rows."""

    def turn(connection: sqlite3.Connection) -> None:
        select = f"SELECT rowid, {column} FROM {table} ORDER BY day DESC, rowid LIMIT ?"  # noqa: S608 - the tests' own words
        for row, blob in connection.execute(select, (rows,)).fetchall():
            spoiled = blob[:-1] + bytes([blob[-1] ^ 1])
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (spoiled, row))  # noqa: S608 - as above

    await device.database.write(turn)


async def test_a_diary_without_damage_says_nothing_of_any(warned: Device) -> None:
    assert (await look(warned)).damaged_entries == 0


async def test_a_damaged_scan_window_costs_itself_alone(warned: Device) -> None:
    before = await warned.diary.sightings(DAY)
    await spoil(warned, "scan_windows")
    status = await look(warned)
    assert (status.damaged_entries, status.check) == (1, ALERT_IS_ACTIVE)
    assert len(await warned.diary.sightings(DAY)) == len(before) - 2
    assert set(status.encounters) == {DAY, date(2025, 6, 14)}


async def test_a_damaged_match_is_passed_over_and_the_others_are_judged(warned: Device) -> None:
    await spoil(warned, "matches")
    assert await stored_matches(warned) == {CASES[1].key}
    assert await judge(warned) == []
    assert (await look(warned)).damaged_entries == 1


async def test_a_damaged_alert_is_made_anew_from_its_matches_and_not_told_twice(warned: Device) -> None:
    await spoil(warned, "alerts")
    status = await look(warned)
    assert (status.damaged_entries, len(status.alerts), status.check) == (1, 1, ALERT_IS_ACTIVE)
    assert await judge(warned) == []
    assert [alert.day for alert in await active_alerts(warned)] == [date(2025, 6, 14), DAY]
    assert (await look(warned)).damaged_entries == 0


async def test_a_damaged_day_key_costs_its_day_alone(warned: Device) -> None:
    await spoil(warned, "day_keys", "wrapped")
    status = await look(warned)
    assert set(status.encounters) == {date(2025, 6, 14)}
    assert [alert["day"] for alert in status.alerts] == ["2025-06-14"]
    assert status.damaged_entries == 8 + 1 + 1
    assert await judge(warned) == []


async def test_damage_of_all_kinds_does_not_hold_up_the_next_fetch(
    warned: Device, server: HonestServer, clock: VirtualClock
) -> None:
    for table in ("scan_windows", "matches", "alerts"):
        await spoil(warned, table)
    today = key_of_day(clock.utc(), 7)
    await meet(warned, today, clock.utc() - 7200, 30)
    server.put_export([confirmed(today)])
    assert (await fetch(warned)).complete
    assert date(2025, 6, 16) in [alert.day for alert in await judge(warned)]


async def test_without_alerts_a_damaged_entry_leaves_check_as_it_was(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await meet(device, CASES[0], NOON_S - DAY_S, 30)
        await spoil(device, "scan_windows")
        assert (await fetch(device)).complete
        status = await look(device)
        assert (status.damaged_entries, status.check) == (1, NOTHING_TO_DO)


async def test_another_device_key_is_no_damage(warned: Device) -> None:
    """A status that called it damage would advise to erase what the right key still opens."""
    await spoil(warned, "day_keys", "wrapped", rows=9)
    await meet(warned, key_of_day(NOON_S, 9), NOON_S, 4)  # seals with a new key of today, which can be read
    with pytest.raises(Missing, match="another device key"):
        await look(warned)


async def test_a_glance_reads_no_diary_and_knows_what_the_daemon_last_found_in_it(
    device: Device, clock: VirtualClock
) -> None:
    await device.diary.record(ScanWindow(NOON_S, None, {bytes(20): [(0, -50)]}))
    await device.database.write(lambda connection: connection.execute("UPDATE scan_windows SET sealed = x'00'"))
    assert (await look(device)).damaged_entries == 1
    assert (await glance(device)).damaged_entries == 0
    await device.database.write(
        lambda connection: connection.execute("INSERT INTO scan_windows (day, sealed) VALUES (1000000000000, x'00')")
    )
    await damage.remember(device)  # a day that no calendar has is no error either
    assert (await glance(device)).damaged_entries == 1
    assert condition_of(await glance(device)).state is condition_of(await look(device)).state
    await device.database.write(lambda connection: connection.execute("DELETE FROM scan_windows"))
    await damage.remember(device)
    assert (await glance(device)).damaged_entries == 0
    assert clock.utc() == NOON_S
