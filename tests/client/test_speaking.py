import asyncio
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.listening import ScanPlan
from forewarn_client.radio import NotSpoken
from forewarn_client.radio.loopback import Air, LoopbackRadio, Transmission
from forewarn_client.speaking import speak
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload, decode
from forewarn_protocol.errors import Missing
from forewarn_protocol.identifiers import crypt_metadata, identifiers
from forewarn_protocol.intervals import first_interval, interval_at
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S

TODAY = date(2025, 6, 16)


@dataclass
class Recorder(Air):
    """An air that keeps all that was ever sent."""

    log: list[Transmission] = field(default_factory=list)

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, None)  # type: ignore[arg-type]  # nobody listens here
        self.log = []

    def begin(self, transmission: Transmission) -> None:
        self.log.append(transmission)
        super().begin(transmission)


async def spoken(
    device: Device, clock: VirtualClock, count: int, *, timing: Timing | None = None, plan: ScanPlan | None = None
) -> list[Transmission]:
    """Let a device speak until it has changed `count` times; return what was on the air."""
    timing = timing or Timing(random=Random(4))
    air = Recorder(clock)
    radio = LoopbackRadio(air, "self", timing)
    await radio.start()
    steps = speak(device, radio, timing, plan or ScanPlan())
    for _ in range(count):
        await anext(steps)
    await steps.aclose()
    await radio.close()
    return air.log


async def test_what_is_on_the_air_is_the_keys_identifier_and_the_encrypted_metadata(
    tmp_path_factory: pytest.TempPathFactory, clock: VirtualClock
) -> None:
    settings = ClientSettings(data=tmp_path_factory.mktemp("d"), tx_power_dbm=-17, confidence=3)
    async with Device.open(settings, clock) as device:
        (sent,) = await spoken(device, clock, 1)
        (tek,) = await device.keyring.release(TODAY, interval_at(NOON_S))
    payload = decode(sent.advertisement)
    assert payload.rpi == identifiers(tek.key, tek.rolling_start, 144)[72]
    metadata = Metadata.decode(crypt_metadata(tek.key, payload.rpi, payload.aem))
    assert metadata == Metadata(-17, Confidence.HIGH)
    assert len(sent.advertisement) == 31


async def test_an_identifier_stays_10_to_20_minutes_and_the_next_follows_after_a_short_pause(
    device: Device, clock: VirtualClock
) -> None:
    sent = await spoken(device, clock, 40)
    lasted = [one.ends_s - one.starts_s for one in sent[:-1]]
    assert all(600 <= seconds <= 1200 for seconds in lasted)
    assert len({round(seconds) for seconds in lasted}) > 30
    pauses = [after.starts_s - before.ends_s for before, after in pairwise(sent)]
    assert all(0.05 <= pause <= 0.5 for pause in pauses)
    assert len({round(pause, 4) for pause in pauses}) > 30
    assert len({one.address for one in sent}) == len({one.advertisement for one in sent}) == 40


async def test_a_change_waits_for_the_end_of_the_scan_window_that_comes(device: Device, clock: VirtualClock) -> None:
    """No change inside a window, and as a rule right after one; windows come every 2.5 to 5 minutes."""
    timing = Timing(random=Random(5))
    plan, windows = ScanPlan(), []

    async def scan() -> None:
        while True:
            opens_s = clock.monotonic() + timing.draw(timing.scan_gap_s)
            plan.closes_s = opens_s + timing.scan_window_s
            windows.append((opens_s, plan.closes_s))
            await clock.sleep_until(opens_s + timing.scan_window_s)

    scanning = asyncio.create_task(scan())
    sent = await spoken(device, clock, 30, timing=timing, plan=plan)
    scanning.cancel()
    ends = [one.ends_s for one in sent[:-1]]
    assert all(min(abs(end_s - closes_s) for _, closes_s in windows) < 0.001 for end_s in ends)
    assert not [1 for end_s in ends for opens_s, closes_s in windows if opens_s <= end_s < closes_s]
    assert all(600 <= one.ends_s - one.starts_s <= 1200 for one in sent[:-1])


async def test_a_scan_plan_that_is_dead_does_not_keep_an_identifier_on_the_air(
    device: Device, clock: VirtualClock
) -> None:
    for closes_s in (5.0, 1e9):
        sent = await spoken(device, clock, 5, plan=ScanPlan(closes_s))
        assert all(600 <= one.ends_s - one.starts_s <= 1200 for one in sent[:-1])


async def test_a_restart_speaks_another_identifier_under_another_address(device: Device, clock: VirtualClock) -> None:
    timings = [Timing(random=Random(seed)) for seed in range(5)]
    sent = [one for timing in timings for one in await spoken(device, clock, 1, timing=timing)]
    assert clock.utc() - NOON_S < 600, "all within one interval"
    assert len({decode(one.advertisement).rpi for one in sent}) == 5
    assert len({one.address for one in sent}) == 5


async def test_with_no_identifier_left_the_device_is_silent_until_one_is(device: Device, clock: VirtualClock) -> None:
    for _ in range(7):
        await device.keyring.next_identifier(interval_at(NOON_S))
    (first,) = await spoken(device, clock, 1)
    assert clock.utc() == NOON_S + 600
    assert first.starts_s == clock.monotonic()


async def test_at_midnight_the_next_identifier_is_the_new_days(device: Device, clock: VirtualClock) -> None:
    clock.jump(12 * 3600 - 900)
    sent = await spoken(device, clock, 4)
    keys = await device.keyring.release(TODAY, interval_at(clock.utc()))
    assert [key.rolling_start for key in keys] == [first_interval(TODAY), first_interval(TODAY) + 144]
    today, tomorrow = (set(identifiers(key.key, key.rolling_start, key.rolling_period)) for key in keys)
    said = [decode(one.advertisement).rpi for one in sent]
    midnight_s = 900 - 0.001
    assert all(rpi in (today if one.starts_s < midnight_s else tomorrow) for rpi, one in zip(said, sent, strict=True))
    assert said[0] in today
    assert said[-1] in tomorrow


async def test_a_device_that_cannot_store_the_next_identifier_falls_silent(device: Device, clock: VirtualClock) -> None:
    timing = Timing(random=Random(4))
    air = Recorder(clock)
    radio = LoopbackRadio(air, "self", timing)
    await radio.start()
    steps = speak(device, radio, timing, ScanPlan())
    await anext(steps)
    await device.database.read(lambda c: c.execute("PRAGMA query_only = ON").fetchone())
    with pytest.raises(Missing):
        await anext(steps)
    (sent,) = air.log
    assert sent.ends_s <= sent.starts_s + 1200


async def test_a_cancelled_speaker_leaves_the_radio_to_its_owner(device: Device, clock: VirtualClock) -> None:
    timing = Timing(random=Random(4))
    radio = LoopbackRadio(Recorder(clock), "self", timing)
    await radio.start()
    steps = speak(device, radio, timing, ScanPlan())
    await anext(steps)
    waiting = asyncio.ensure_future(anext(steps))
    await clock.run_for(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await radio.close()


class LostOnce(LoopbackRadio):
    """A radio that loses what is on the air ten seconds after the first payload."""

    lost = False

    async def stay_on_air(self, until_s: float) -> None:
        if not self.lost:
            self.lost = True
            await super().stay_on_air(self._air.clock.monotonic() + 10)
            raise Missing("the adapter is gone: plug it in")
        await super().stay_on_air(until_s)


async def test_what_the_radio_lost_is_followed_by_a_new_identifier_under_a_new_address(
    device: Device, clock: VirtualClock
) -> None:
    air, timing = Recorder(clock), Timing(random=Random(4))
    radio = LostOnce(air, "self", timing)
    await radio.start()
    steps = speak(device, radio, timing, ScanPlan())
    await anext(steps)
    with pytest.raises(Missing):
        await anext(steps)
    assert air.log[0].ends_s == pytest.approx(air.log[0].starts_s + 10)
    again = speak(device, radio, timing, ScanPlan())
    await anext(again)
    await again.aclose()
    first, second = air.log
    assert first.address != second.address
    assert decode(first.advertisement).rpi != decode(second.advertisement).rpi


async def test_a_suspend_ends_what_was_on_the_air_within_half_a_minute_of_waking(
    device: Device, clock: VirtualClock
) -> None:
    """However short it was, and though the radio noticed nothing."""
    for slept_s in (90.0, 3 * 3600.0):
        air, timing = Recorder(clock), Timing(random=Random(4))
        radio = LoopbackRadio(air, "self", timing)
        await radio.start()
        steps = speak(device, radio, timing, ScanPlan())
        await anext(steps)
        waiting = asyncio.ensure_future(anext(steps))
        await clock.run_for(100)
        clock.suspend(slept_s)
        woke_s = clock.monotonic()
        await clock.run_for(31)
        await waiting
        await steps.aclose()
        await radio.close()
        before, after = air.log
        assert before.ends_s <= woke_s + 30
        assert after.address != before.address
        assert decode(after.advertisement).rpi != decode(before.advertisement).rpi


async def test_an_awake_machine_rotates_in_its_own_time(device: Device, clock: VirtualClock) -> None:
    """Control for the test above: the same look at the clock ends nothing early, whatever was slept before."""
    clock.suspend(3 * 3600)
    sent = await spoken(device, clock, 5)
    assert all(600 <= one.ends_s - one.starts_s <= 1200 for one in sent[:-1])


class Refusing(LoopbackRadio):
    """A radio that refuses whatever is to be spoken, for as long as it is told to."""

    refuses = True

    async def advertise(self, payload: Payload) -> None:
        if self.refuses:
            raise NotSpoken("another program holds the radio")
        await super().advertise(payload)


async def test_hours_of_refusals_leave_an_identifier_to_be_spoken_at_once_when_they_end(
    device: Device, clock: VirtualClock
) -> None:
    air, timing = Recorder(clock), Timing(random=Random(4))
    radio = Refusing(air, "self", timing)
    await radio.start()
    for _ in range(200):
        with pytest.raises(NotSpoken):
            await anext(speak(device, radio, timing, ScanPlan()))
        await clock.run_for(60)
    radio.refuses, ended_s = False, clock.monotonic()
    steps = speak(device, radio, timing, ScanPlan())
    await anext(steps)
    assert air.log[0].starts_s == ended_s
    await steps.aclose()
    await radio.close()
