"""A radio of real time under a daemon whose clock runs faster, with the loopback radio in the place of a real one."""

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_shell.clock import SystemClock
from forewarn_simulations.clocks import ScaledClock
from forewarn_simulations.processes import SideBySide
from forewarn_simulations.real_radio import LEAST_FACTOR, RealTimeRadio, brisk_daemon, brisk_timing

EPOCH_S = 1_750_000_000
FACTOR = 75


def radios(*names: str) -> list[LoopbackRadio]:
    air = Air(SystemClock(), SideBySide())
    return [LoopbackRadio(air, name, Timing(random=Random(1))) for name in names]


async def test_what_is_heard_lies_as_far_from_the_windows_opening_as_on_a_device() -> None:
    clock = ScaledClock(EPOCH_S, FACTOR)
    speaker, real = radios("speaker", "hearer")
    hearer = RealTimeRadio(real, clock)
    await speaker.start()
    await hearer.start()
    await speaker.advertise(Payload.from_service_data(bytes(20)))
    opened_s = clock.monotonic()
    reports = [report async for report in hearer.scan(1.0 * FACTOR)]
    offsets_s = [report.monotonic_s - opened_s for report in reports]
    assert len(reports) >= 3
    assert all(0 <= offset_s < 2 for offset_s in offsets_s)
    assert clock.monotonic() - opened_s >= 1.0 * FACTOR
    await hearer.close()


async def test_a_stay_on_the_air_lasts_until_the_daemons_own_time() -> None:
    clock = ScaledClock(EPOCH_S, FACTOR)
    (real,) = radios("speaker")
    radio = RealTimeRadio(real, clock)
    await radio.start()
    await radio.advertise(Payload.from_service_data(bytes(20)))
    until_s = clock.monotonic() + 0.1 * FACTOR
    await radio.stay_on_air(until_s)
    assert clock.monotonic() >= until_s
    await radio.stop_advertising()
    await radio.close()


def test_its_durations_are_those_of_the_test_profile_in_real_seconds() -> None:
    timing = brisk_timing(FACTOR)
    assert timing.scan_window_s / FACTOR == 2
    assert [span / FACTOR for span in timing.rotation_s] == [8, 12]
    assert timing.advertise_interval_s == Timing.production().advertise_interval_s


async def test_a_brisk_daemon_speaks_on_the_real_radio(tmp_path: Path) -> None:
    speaker, hearer = radios("speaker", "hearer")
    await hearer.start()
    settings = ClientSettings(data=tmp_path / "a")
    daemon = asyncio.create_task(brisk_daemon(settings, ScaledClock(EPOCH_S, FACTOR), speaker).run())
    try:
        async with asyncio.timeout(30):
            while not [report async for report in hearer.scan(0.3)]:
                pass
    finally:
        daemon.cancel()
        with suppress(asyncio.CancelledError):
            await daemon


def test_a_clock_too_slow_for_an_identifier_every_8_s_is_refused(tmp_path: Path) -> None:
    (radio,) = radios("speaker")
    with pytest.raises(ValueError, match="at least 75 times"):
        brisk_daemon(ClientSettings(data=tmp_path), ScaledClock(EPOCH_S, LEAST_FACTOR - 1), radio)
