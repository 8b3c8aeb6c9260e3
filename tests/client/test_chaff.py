"""Chaff on its schedule; what it looks like is in tests/system/test_chaff_on_the_wire.py."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from statistics import mean, pstdev

import pytest

from forewarn_client.chaff import Shape, chaff, draw_shape
from forewarn_client.timing import Timing
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import phone

STEPS = {"/api/verify": 1, "/api/certificate": 1, "/v1/publish": 1}


def test_the_waits_are_those_of_a_poisson_process_with_a_mean_of_12_h() -> None:
    """Its waits have one share below the mean, and a spread as large as the mean: no wait tells the last moment."""
    timing = Timing(random=Random(1))
    hours = [timing.draw_chaff_gap() / 3600 for _ in range(20_000)]
    assert mean(hours) == pytest.approx(12, rel=0.05)
    assert pstdev(hours) == pytest.approx(12, rel=0.05)
    assert sum(hour < 12 for hour in hours) / len(hours) == pytest.approx(0.632, abs=0.02)


def test_every_shape_of_a_report_is_common_in_chaff() -> None:
    random = Random(1)
    drawn = Counter(draw_shape(random) for _ in range(10_000))
    assert set(drawn) == set(Shape)
    assert drawn[Shape.WHOLE] / 10_000 == pytest.approx(0.7, abs=0.02)
    assert min(drawn.values()) > 1_000


async def chaff_for(days: int, honest: HonestServer, folder: Path, clock: VirtualClock, **given: object) -> set[str]:
    """Let the job work for some days, and return what the status says after it."""
    async with phone(honest, folder, clock, **given) as device:

        async def work() -> None:
            async for _ in chaff(device, Timing(random=Random(1))):
                pass

        job = asyncio.create_task(work())
        await clock.run_for(days * DAY_S)
        assert not job.done()
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        return set(await device.status.read())


async def test_a_device_sends_chaff_about_twice_a_day_and_keeps_nothing_of_it(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    assert await chaff_for(20, server, tmp_path / "phone", clock) == set()
    asked = Counter(path for path in server.asked if path in STEPS)
    assert 25 < asked["/api/verify"] < 55
    assert 0.7 * asked["/api/verify"] < asked["/v1/publish"] == asked["/api/certificate"] <= asked["/api/verify"]
    assert server.codes == server.certified == server.published == {}


async def test_chaff_that_meets_no_server_or_a_failing_one_is_left_at_that(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    assert await chaff_for(3, server, tmp_path / "phone", clock, server=None) == set()
    assert server.asked == []
    server.spoil("/config/vn.json", *[lambda: None] * 3)
    server.spoil("/api/verify", *[lambda: None] * 3)
    assert await chaff_for(10, server, tmp_path / "phone", clock) == set()
    assert server.count("/v1/publish") > 3
