"""The product as processes of their own, on a clock that only this entry can give them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.radio.loopback import Air
from forewarn_protocol.errors import BadInput
from forewarn_protocol.identifiers import identifiers
from forewarn_protocol.intervals import interval_at, midnight
from forewarn_server.setting_up import initialise
from forewarn_simulations import processes
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.processes import SideBySide, in_company, neighbour_key

START = datetime(2026, 3, 1, 9, tzinfo=UTC).timestamp()


@asynccontextmanager
async def started(*arguments: object) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Start a process, give its first line, and end it as systemd does."""
    command = [sys.executable, "-m", processes.__name__, *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield (await process.stdout.readline()).decode().strip(), process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.slow
async def test_server_and_phone_run_as_processes_on_the_clock_that_is_given(tmp_path: Path) -> None:
    made = initialise(tmp_path / "server", "vn")
    clock = ("--epoch", START, "--factor", 3000)
    async with started("server", "--data", tmp_path / "server", *clock) as (line, _):
        url = line.removeprefix("ready ")
        async with ClientSession() as session, session.get(f"{url}/exports/vn/index.json") as answer:
            told_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert START <= told_s < START + 60 * 3000
        phone = ("phone", "--data", tmp_path / "phone", "--server", url, "--public-key", made.feed_key)
        async with started(*phone, *clock, "--neighbour", "an") as (said, _):
            assert said == "ready"
            settings = ClientSettings(data=tmp_path / "phone")
            async with Device.open(settings, VirtualClock(START)) as device:
                while not (heard := await device.diary.sightings(date(2026, 1, 1))):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
    key = neighbour_key("an", date(2026, 3, 1))
    assert key.rolling_start == midnight(interval_at(START))
    assert heard[0].payload.rpi in identifiers(key.key, key.rolling_start, key.rolling_period)


async def test_a_phone_hears_its_neighbours_and_ends_with_its_task(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    await clock.run_for(0)
    settings = ClientSettings(data=tmp_path / "phone")
    air = Air(clock, SideBySide())
    came: list[str] = []
    phone = asyncio.create_task(in_company(settings, clock, air, ["an", "binh"], lambda: came.append("ready")))
    await clock.run_for(1800)
    phone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await phone
    assert came == ["ready"]
    async with Device.open(settings, clock) as device:
        heard = {bytes(each.payload.rpi) for each in await device.diary.sightings(date(2026, 1, 1))}
    for name in ("an", "binh"):
        key = neighbour_key(name, date(2026, 3, 1))
        spoken = set(identifiers(key.key, key.rolling_start, key.rolling_period))
        assert len(heard & spoken) >= 3
        heard -= spoken
    assert not heard


@pytest.mark.parametrize(("factor", "jump"), [(0.0, "1:2"), (1.0, "1"), (1.0, "a:b"), (1.0, "1:2:3")])
def test_a_clock_that_cannot_be_is_refused(factor: float, jump: str) -> None:
    with pytest.raises(BadInput, match="AT:BY"):
        processes.clock_of(START, factor, [jump])


def test_a_jump_steps_the_unix_time() -> None:
    assert processes.clock_of(START, 1.0, ["0:3600"]).utc() >= START + 3600
