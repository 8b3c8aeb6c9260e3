"""What a device makes of a server that goes back in time, freezes, changes its key, or answers half of everything.

Each fault lasts longer than a day. The alert that stands goes on standing, one line of the status says what is wrong,
and when the server is right again the next case is told without anybody's help.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from forewarn_client import pinned_feeds
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.radio.loopback import Air, EmptyRoom, LoopbackRadio
from forewarn_client.status import ALERT_IS_ACTIVE, CANNOT_KNOW, NOTHING_TO_DO, Status, look
from forewarn_client.timing import Timing
from forewarn_protocol.feeds import FeedAge
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer, p256, serving
from tests.client.meetings import confirmed, key_of_day, meet

HOUR_S, DAY_S = 3600, 86_400
NOON_S = 1_750_075_200.0
INDEX = "/exports/vn/index.json"
Folder = dict[str, bytes]
History = tuple[Folder, Folder]
"""The public folder of last week, and of before the newest export."""


class Lying(HonestServer):
    """A server that signs its feeds anew at each request, as a real one does each hour, unless `lie` answers for it."""

    lie: Callable[[str, bytes], web.StreamResponse] | None = None
    cuts: bool = False
    signs: bool = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.signs:
            self.put_feeds()
        if self.cuts:
            body = self.files.get(request.path, b"")
            response = web.StreamResponse(headers={"Content-Length": str(len(body) + 100)})
            await response.prepare(request)
            await response.write(body)
            if request.transport is not None:
                request.transport.close()
            return response
        if self.lie is None:
            return await super().answer(request)
        return self.lie(request.path, self.files.get(request.path, b""))


def half(path: str, body: bytes) -> web.StreamResponse:
    del path
    return web.Response(body=body[: len(body) // 2])


def failing(path: str, body: bytes) -> web.StreamResponse:
    del path, body
    return web.Response(status=500)


def gone(path: str, body: bytes) -> web.StreamResponse:
    del path, body
    return web.Response(status=404)


def other_page(path: str, body: bytes) -> web.StreamResponse:
    """Answer as the network of a café that wants a log-in first."""
    del path, body
    return web.Response(text="<html>Welcome!</html>", content_type="text/html")


def half_of_the_new_files(path: str, body: bytes) -> web.StreamResponse:
    """The index is there, the files are not."""
    return web.Response(status=404) if path.endswith(".zip") else web.Response(body=body)


def lie(answering: Callable[[str, bytes], web.StreamResponse]) -> Callable[[Lying, History], None]:
    def begin(server: Lying, _: History) -> None:
        server.lie = answering

    return begin


def goes_back(server: Lying, history: History) -> None:
    """Serve last week's folder, signed and whole."""
    server.signs = False
    server.files = dict(history[0])


def freezes(server: Lying, history: History) -> None:
    server.signs = False
    server.files = dict(history[1])


def signs_with_another_key(server: Lying, _: History) -> None:
    server.feed_key = p256(9)


def says_more_than_it_sends(server: Lying, _: History) -> None:
    server.cuts = True


def keeps_old_signatures(server: Lying, history: History) -> None:
    def answering(path: str, body: bytes) -> web.StreamResponse:
        return web.Response(body=history[0][path] if path.endswith(".sig") else body)

    server.lie = answering


UNSIGNED = "is not signed by a pinned feed key"
# The fault, and what the status says of it.
QUICK = [(goes_back, "went back from sequence"), (freezes, "has expired"), (signs_with_another_key, UNSIGNED)]
SLOW = [
    (keeps_old_signatures, UNSIGNED),
    (lie(half), UNSIGNED),
    (says_more_than_it_sends, "the server cannot be reached"),
    (lie(failing), "the server answers 500"),
    (lie(gone), "the server has no"),
    (lie(other_page), UNSIGNED),
    (lie(half_of_the_new_files), "the server has no"),
]


@asynccontextmanager
async def at_work(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[None]:
    # What is heard is no matter here: a scan now and then costs the tests less.
    timing = Timing(random=Random(2), scan_gap_s=(3000.0, 3600.0), rotation_s=(7200.0, 7300.0))
    radio = LoopbackRadio(Air(clock, EmptyRoom()), "self", timing)
    task = asyncio.create_task(Daemon(settings, clock, radio, timing).run())
    await clock.run_for(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def status_of(settings: ClientSettings, clock: VirtualClock) -> Status:
    async with Device.open(settings, clock) as device:
        return await look(device)


@asynccontextmanager
async def lying(clock: VirtualClock) -> AsyncIterator[Lying]:
    server = Lying(clock)
    async with serving(clock, server) as running:
        assert running is server
        yield server


def known(server: HonestServer, folder: Path, **given: Any) -> ClientSettings:
    return ClientSettings(
        data=folder, server=server.url, public_key=(server.public_key,), language="en", assessing="thread", **given
    )


@pytest.mark.parametrize(("begin", "says"), [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)])
async def test_a_server_at_fault_for_more_than_a_day_costs_no_alert_and_the_next_case_is_told_when_it_is_right_again(
    tmp_path: Path, begin: Callable[[Lying, History], None], says: str
) -> None:
    clock = VirtualClock(NOON_S)
    await clock.run_for(0)
    cases = [key_of_day(NOON_S - days * DAY_S, days) for days in (1, 2)]
    async with lying(clock) as server:
        last_week = dict(server.files)
        server.sequence = 100
        settings = known(server, tmp_path)
        async with Device.open(settings, clock) as device:
            for days, case in enumerate(cases, start=1):
                await meet(device, case, NOON_S - days * DAY_S, 30)
        server.put_export([confirmed(cases[0])])
        async with at_work(settings, clock):
            await clock.run_for(HOUR_S)
            assert (await status_of(settings, clock)).check == ALERT_IS_ACTIVE
            history = (last_week, dict(server.files))
            server.put_export([confirmed(cases[1])])
            honest = (server.feed_key, dict(server.files))
            begin(server, history)
            await clock.run_for(30 * HOUR_S)
            told = await status_of(settings, clock)
            assert [alert["day"] for alert in told.alerts] == ["2025-06-15"], "the alert stands"
            faults = " ".join(told.faults.values())
            assert says in faults
            assert told.last_match_s is not None
            assert told.now_s - told.last_match_s > 6 * HOUR_S  # a frozen index was good for a day
            assert "\n" not in faults
            server.lie, server.cuts, server.signs, server.feed_key = None, False, True, honest[0]
            server.files |= {path: body for path, body in honest[1].items() if path.endswith(".zip")}
            server.sequence += 1
            await clock.run_for(6 * HOUR_S)
            told = await status_of(settings, clock)
            assert [alert["day"] for alert in told.alerts] == ["2025-06-14", "2025-06-15"]
            assert told.faults == {}


async def test_without_an_alert_check_cannot_know_after_a_day_of_faults_and_knows_again_afterwards(
    tmp_path: Path,
) -> None:
    clock = VirtualClock(NOON_S)
    await clock.run_for(0)
    async with lying(clock) as server:
        settings = known(server, tmp_path)
        async with at_work(settings, clock):
            await clock.run_for(HOUR_S)
            assert (await status_of(settings, clock)).check == NOTHING_TO_DO
            server.lie = failing
            await clock.run_for(30 * HOUR_S)
            assert (await status_of(settings, clock)).check == CANNOT_KNOW
            server.lie = None
            await clock.run_for(2 * HOUR_S)
            assert (await status_of(settings, clock)).check == NOTHING_TO_DO


async def test_without_the_sequence_a_rollback_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: the server of last week really serves what verifies."""
    monkeypatch.setattr(pinned_feeds, "check_sequence", lambda *_: FeedAge.CURRENT)
    clock = VirtualClock(NOON_S)
    await clock.run_for(0)
    async with lying(clock) as server:
        last_week = dict(server.files)
        server.sequence = 100
        async with Device.open(known(server, tmp_path), clock) as device:
            assert (await fetch(device)).complete
            goes_back(server, (last_week, last_week))
            assert (await fetch(device)).complete
