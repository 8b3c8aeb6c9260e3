import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from forewarn_protocol.errors import Missing
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context
from forewarn_server.jobs import JOBS, SUPERVISOR, Job
from forewarn_server.serving import listening
from tests.server.hand_clock import HandClock


@asynccontextmanager
async def only(job: Job, settings: ServerSettings, clock: HandClock) -> AsyncIterator[asyncio.Task[None]]:
    app = create_app(settings, clock)
    app[JOBS][:] = [job]
    async with listening(app, "127.0.0.1", 0):
        yield app[SUPERVISOR]


async def test_a_job_starts_again_a_minute_after_a_fault(settings: ServerSettings, clock: HandClock) -> None:
    starts: list[float] = []
    started = asyncio.Event()

    async def faulty(context: Context) -> None:
        starts.append(context.clock.monotonic())
        started.set()
        raise Missing("the disk is full")

    async with only(Job("faulty", faulty), settings, clock):
        for _ in range(3):
            await started.wait()
            started.clear()
            await clock.until_someone_sleeps()
            clock.advance(60)
        await started.wait()
    assert starts == [0, 60, 120, 180]


async def test_a_programming_error_ends_the_server_and_is_told(settings: ServerSettings, clock: HandClock) -> None:
    async def broken(_: Context) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with only(Job("broken", broken), settings, clock) as supervisor:
            await asyncio.wait((supervisor,))

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_job_is_cancelled_when_the_server_stops(settings: ServerSettings, clock: HandClock) -> None:
    ended: list[str] = []

    async def endless(context: Context) -> None:
        try:
            await context.clock.sleep_until(1e9)
        finally:
            async with context.registry.reading():  # the databases are still open
                ended.append("cleanly")

    async with only(Job("endless", endless), settings, clock) as supervisor:
        await clock.until_someone_sleeps()
        assert not supervisor.done()
    assert ended == ["cleanly"]


async def test_a_server_without_jobs_goes_on_serving(settings: ServerSettings, clock: HandClock) -> None:
    async def short(_: Context) -> None: ...

    async with only(Job("short", short), settings, clock) as supervisor:
        await asyncio.wait((supervisor,))
        assert supervisor.exception() is None
