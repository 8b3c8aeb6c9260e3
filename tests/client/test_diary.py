from datetime import date

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from forewarn_client.board import LAST_SCAN
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from tests.client.conftest import NOON_S

DAY_S = 86_400
TODAY = date(2025, 6, 16)


def window(start_s: float, *identifiers: int, since_s: float | None = 200.0) -> ScanWindow:
    return ScanWindow(start_s, since_s, {bytes([i] * 20): [(0, -60), (250, -61)] for i in identifiers})


async def test_what_was_heard_is_read_back_in_order_of_time(device: Device) -> None:
    for start_s in (NOON_S + 300, NOON_S):
        await device.diary.record(window(start_s, 1, 2))
    sightings = await device.diary.sightings(TODAY)
    assert [s.time_s for s in sightings] == sorted(
        start_s + offset_s for start_s in (NOON_S, NOON_S + 300) for offset_s in (0, 0, 0.25, 0.25)
    )
    assert {(s.payload.service_data[0], s.rssi_dbm) for s in sightings} == {(i, r) for i in (1, 2) for r in (-60, -61)}
    assert {s.since_last_scan_s for s in sightings} == {200.0}


async def test_sightings_are_asked_for_by_utc_day(device: Device) -> None:
    for days in (-2, -1, 0):
        await device.diary.record(window(NOON_S + days * DAY_S, 1))
    # One second before and after midnight.
    await device.diary.record(window(NOON_S - DAY_S / 2 - 1, 2))
    await device.diary.record(window(NOON_S - DAY_S / 2 + 1, 3))
    yesterday = date(2025, 6, 15)
    assert {s.payload.rpi[0] for s in await device.diary.sightings(TODAY)} == {1, 3}
    assert {s.payload.rpi[0] for s in await device.diary.sightings(yesterday, yesterday)} == {1, 2}
    assert len(await device.diary.sightings(date(2025, 6, 14))) == 10
    assert await device.diary.sightings(date(2025, 6, 17)) == []


async def test_an_encounter_is_an_identifier_heard_on_a_day_however_often(device: Device) -> None:
    for minutes, identifiers in ((0, (1, 2)), (4, (2, 3)), (8, (3,))):
        await device.diary.record(window(NOON_S + 60 * minutes, *identifiers))
    await device.diary.record(window(NOON_S - DAY_S, 1))
    assert await device.diary.encounters_per_day(date(2025, 6, 1)) == {date(2025, 6, 15): 1, TODAY: 3}
    assert await device.diary.encounters_per_day(TODAY) == {TODAY: 3}


async def test_a_window_in_which_nobody_was_heard_costs_no_row(device: Device) -> None:
    await device.diary.record(window(NOON_S))
    assert await device.database.read(lambda c: c.execute("SELECT count(*) FROM scan_windows").fetchone()) == (0,)
    await device.diary.record(window(NOON_S, 1))
    assert await device.database.read(lambda c: c.execute("SELECT count(*) FROM scan_windows").fetchone()) == (1,)
    assert (await device.status.read())[LAST_SCAN] == NOON_S


@pytest.mark.parametrize("since_s", [None, 0.0, 151.5])
async def test_the_time_since_the_last_scan_may_be_unknown(device: Device, since_s: float | None) -> None:
    await device.diary.record(window(NOON_S, 1, since_s=since_s))
    assert {s.since_last_scan_s for s in await device.diary.sightings(TODAY)} == {since_s}


@given(st.lists(st.tuples(st.integers(0, 3 * DAY_S), st.sets(st.integers(0, 255), max_size=4)), max_size=6))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
async def test_every_window_is_found_under_its_own_day(device: Device, heard: list[tuple[int, set[int]]]) -> None:
    await device.database.write(lambda c: c.execute("DELETE FROM scan_windows").rowcount)
    expected: dict[date, set[int]] = {}
    for after_s, identifiers in heard:
        await device.diary.record(window(NOON_S + after_s, *identifiers))
        if identifiers:
            expected.setdefault(date.fromordinal(TODAY.toordinal() + (after_s + DAY_S // 2) // DAY_S), set()).update(
                identifiers
            )
    assert await device.diary.encounters_per_day(TODAY) == {day: len(found) for day, found in expected.items()}
