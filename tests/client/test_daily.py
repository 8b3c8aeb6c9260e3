"""The daily message: once a UTC day, at a moment drawn anew, of one size, whatever happens to device and network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from forewarn_client.daily import DAILY_DAY, daily
from forewarn_client.device import Device
from forewarn_client.timing import Timing
from forewarn_protocol.cover import DAILY_BYTES
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import phone

HOUR_S = 3600


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock) as opened:
        yield opened


@asynccontextmanager
async def at_work(device: Device, seed: int = 1) -> AsyncIterator[None]:
    """Let the job run, as the daemon does, until the block ends."""

    async def work() -> None:
        async for _ in daily(device, Timing(random=Random(seed))):
            pass

    job = asyncio.create_task(work())
    try:
        yield
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


def noting(server: HonestServer, clock: VirtualClock) -> list[float]:
    """Return a list that grows by the time of each message."""
    times: list[float] = []
    server.on_request = lambda: times.append(clock.utc()) if server.asked[-1] == "/v1/daily" else None
    return times


def days_of(times: list[float]) -> list[int]:
    return [int(time_s // DAY_S - NOON_S // DAY_S) for time_s in times]


async def test_one_message_a_utc_day_each_at_another_moment(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    times = noting(server, clock)
    async with at_work(device):
        await clock.run_for(20 * DAY_S)
    assert days_of(times)[:20] == list(range(20))
    hours = [time_s % DAY_S / HOUR_S for time_s in times]
    assert len({round(hour, 2) for hour in hours}) > 15
    assert min(hours) < 6
    assert max(hours) > 18


async def test_every_message_has_one_size_and_says_nothing(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    async with at_work(device):
        await clock.run_for(5 * DAY_S)
    messages = [body for path, body in server.bodies if path == "/v1/daily"]
    assert {len(body) for body in messages} == {DAILY_BYTES} == {1024}
    assert len(set(messages)) == len(messages) >= 5


async def test_a_device_that_starts_every_hour_sends_at_most_one_a_day(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    times = noting(server, clock)
    for hour in range(10 * 24):
        async with at_work(device, seed=hour):
            await clock.run_for(HOUR_S)
    assert len(days_of(times)) == len(set(days_of(times))) >= 9


async def test_a_day_is_spent_before_its_message_leaves(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    async def spent() -> object:
        return (await device.status.read()).get(DAILY_DAY)

    noted: list[asyncio.Task[object]] = []
    server.on_request = lambda: noted.append(asyncio.create_task(spent()))
    async with at_work(device):
        await clock.run_for(DAY_S / 2)
    assert [await one for one in noted] == ["2025-06-16"]


async def test_a_day_without_network_has_no_message_and_the_next_day_has_one(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    times = noting(server, clock)
    async with at_work(device):
        server.spoil("/v1/daily", lambda: None)  # the first day's answer is lost: it may have been counted
        await clock.run_for(DAY_S / 2)
        assert days_of(times) == [0]
        await clock.run_for(2 * DAY_S)
    assert days_of(times) == [0, 1, 2]
    assert (await device.status.read()).keys() == {DAILY_DAY}


@pytest.mark.parametrize("set_by_s", [-HOUR_S, -DAY_S, HOUR_S])
async def test_a_clock_that_is_set_brings_no_second_message(
    device: Device, server: HonestServer, clock: VirtualClock, set_by_s: float
) -> None:
    times = noting(server, clock)
    async with at_work(device):
        await clock.run_for(4 * DAY_S)
        clock.jump(set_by_s)
        await clock.run_for(4 * DAY_S)
    assert len(times) == len(set(days_of(times)))


async def test_after_a_clock_that_was_a_year_ahead_days_count_again(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    times = noting(server, clock)
    clock.jump(365 * DAY_S)
    async with at_work(device):
        await clock.run_for(2 * DAY_S)
        clock.jump(-365 * DAY_S)
        before = len(times)
        await clock.run_for(3 * DAY_S)
    assert days_of(times)[before:] in ([2, 3, 4], [3, 4], [2, 3, 4, 5], [3, 4, 5])
