import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import pairwise
from random import Random

import pytest

from forewarn_client.board import LAST_SCAN
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.diary.block import MAX_SAMPLES
from forewarn_client.listening import ScanPlan, hear, listen
from forewarn_client.radio import AdvertisingReport, Radio
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.speaking import payload_of
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.encounters import SLOT_WHEN_UNKNOWN_S, encounters
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_protocol.keys import DiagnosisKey
from forewarn_protocol.matching import SightingIndex, match
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.meetings import key_of_day

Heard = tuple[float, int, bytes]
"""Seconds after the window opened, RSSI, service data."""


class Replay(LoopbackRadio):
    """A radio that hears what a test tells it to."""

    def __init__(self, clock: VirtualClock, heard: Iterable[Heard]) -> None:
        super().__init__(Air(clock, None), "self", Timing())  # type: ignore[arg-type]  # nobody else is on this air
        self._clock = clock
        self._heard = heard

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        opened_s = self._clock.monotonic()
        await self._clock.sleep_until(opened_s + window_s)
        for after_s, rssi_dbm, service_data in self._heard:
            yield AdvertisingReport(opened_s + after_s, bytes(6), rssi_dbm, service_data)


async def kept(clock: VirtualClock, heard: Sequence[Heard], maximum: int = 4000) -> list[tuple[float, int, bytes]]:
    radio: Radio = Replay(clock, heard)
    window = await hear(radio, clock, 4, None, maximum)
    return [(s.time_s - window.start_s, s.rssi_dbm, s.payload.service_data) for s in window.sightings()]


@pytest.mark.parametrize("rssi_dbm", [-127, 127, 0, 21, -128])
async def test_an_rssi_that_was_not_measured_is_dropped(clock: VirtualClock, rssi_dbm: int) -> None:
    assert await kept(clock, [(1.0, rssi_dbm, bytes(20)), (1.25, -126, bytes(20)), (1.5, 20, bytes(20))]) == [
        (1.25, -126, bytes(20)),
        (1.5, 20, bytes(20)),
    ]


@pytest.mark.parametrize("length", [0, 16, 19, 21, 24])
async def test_service_data_of_any_other_length_than_20_bytes_is_dropped(clock: VirtualClock, length: int) -> None:
    assert await kept(clock, [(1.0, -50, bytes(length))]) == []


async def test_what_was_heard_before_the_window_opened_is_dropped(clock: VirtualClock) -> None:
    """A stack may replay a device that it heard half a minute ago."""
    assert await kept(clock, [(-0.5, -50, bytes(20)), (100.0, -50, bytes(20)), (0.0, -50, bytes(20))]) == [
        (0.0, -50, bytes(20))
    ]


async def test_a_flood_of_identifiers_fills_the_window_and_never_the_diary_and_the_strongest_stay(
    clock: VirtualClock,
) -> None:
    near = b"N" * 20
    flood = [(i / 1e5, -80, i.to_bytes(20, "big")) for i in range(5000)]
    neighbour = [(0.2 * i, -55, near) for i in range(20)]
    found = await kept(clock, sorted(flood + neighbour), maximum=200)
    assert len(found) == 200
    assert sum(service_data == near for _, _, service_data in found) == 20


async def test_one_identifier_that_shouts_keeps_no_more_than_its_share(clock: VirtualClock) -> None:
    assert len(await kept(clock, [(i / 1000, -50, bytes(20)) for i in range(3000)])) == MAX_SAMPLES


def room(clock: VirtualClock) -> tuple[LoopbackRadio, LoopbackRadio]:
    class Near:
        def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
            return -60 if (sender, receiver) == ("other", "self") and monotonic_s >= 0 else None

    air = Air(clock, Near())
    return LoopbackRadio(air, "self", Timing()), LoopbackRadio(air, "other", Timing())


async def test_windows_of_4_s_begin_2_5_to_5_minutes_apart_and_each_says_how_long_ago_the_last_was(
    device: Device, clock: VirtualClock
) -> None:
    ours, other = room(clock)
    await ours.start()
    await other.start()
    await other.advertise(Payload.from_service_data(bytes(range(20))))
    plan, opened, closes = ScanPlan(), [], []
    steps = listen(device, ours, Timing(random=Random(1)), plan)
    for _ in range(12):
        await anext(steps)
        opened.append(clock.monotonic() - 4)
        closes.append(plan.closes_s)
    await steps.aclose()
    assert closes == pytest.approx([opened_s + 4 for opened_s in opened])
    gaps = [after - before for before, after in pairwise(opened)]
    assert all(150 <= gap <= 300 for gap in gaps)
    assert len({round(gap) for gap in gaps}) > 6
    sightings = await device.diary.sightings(day_at(NOON_S))
    since = [s.since_last_scan_s for s in sightings]
    assert list(dict.fromkeys(since)) == [None, *(pytest.approx(gap, abs=0.001) for gap in gaps)]
    assert 12 * 13 < len(sightings) < 12 * 22


async def test_an_empty_room_costs_no_write_for_a_quarter_of_an_hour(device: Device, clock: VirtualClock) -> None:
    ours, _ = room(clock)
    await ours.start()
    steps = listen(device, ours, Timing(random=Random(1), scan_gap_s=(200, 200)), ScanPlan())
    noted = []
    for _ in range(10):
        await anext(steps)
        noted.append((await device.status.read())[LAST_SCAN])
    await steps.aclose()
    assert len(set(noted)) == 2


async def test_a_step_of_the_wall_clock_does_not_tear_a_window_apart(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    class Stepping(Replay):
        async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
            async for report in super().scan(window_s):
                clock.jump(3 * 3600)
                yield report

    radio: Radio = Stepping(clock, [(0.5, -50, bytes(20)), (1.0, -50, bytes(20))])
    window = await hear(radio, clock, 4, None, settings.maximum_sightings_per_window)
    assert [s.time_s for s in window.sightings()] == [NOON_S + 0.5, NOON_S + 1.0]


@pytest.mark.parametrize("before_its_end_s", [2.0, 60.0])
async def test_a_suspend_of_three_hours_in_a_window_or_before_it_adds_two_minutes_of_contact_at_most(
    device: Device, clock: VirtualClock, before_its_end_s: float
) -> None:
    ours, other = room(clock)
    tek = key_of_day(NOON_S, 1)
    metadata = Metadata(-20, Confidence.HIGH)
    await ours.start()
    await other.start()
    await other.advertise(payload_of(tek, interval_at(NOON_S), metadata))
    plan = ScanPlan()
    steps = listen(device, ours, Timing(random=Random(1)), plan)
    for _ in range(2):
        await anext(steps)
    hearing = asyncio.ensure_future(anext(steps))
    await clock.run_for(0)  # so that the next window is planned
    await clock.run_until(plan.closes_s - before_its_end_s)
    clock.suspend(3 * 3600)
    await other.advertise(payload_of(tek, interval_at(clock.utc()), metadata))
    await clock.run_for(10)
    await hearing
    for _ in range(2):
        await anext(steps)
    await steps.aclose()
    awake_s = clock.monotonic() - 3 * 3600
    heard = SightingIndex(await device.diary.sightings(day_at(NOON_S)))
    (found,) = match([DiagnosisKey(tek)], heard)
    contact_s = sum(encounter.seconds for encounter in encounters(found))
    assert 300 < contact_s <= awake_s + 2 * SLOT_WHEN_UNKNOWN_S
