import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from forewarn_server.app import create_app
from forewarn_server.clock_grid import ANONYMOUS, ClockGrid
from forewarn_server.config import ServerSettings
from forewarn_server.routing import ROUTES
from tests.server.hand_clock import HandClock
from tests.server.published_files import until_jobs_rest
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import RunningServer, running

SLOT_S = 0.02
LONG_SLOT_S = 0.3
"""Longer than any pause that a busy machine makes between two lines."""


@pytest.fixture
async def server(settings: ServerSettings, clock: HandClock) -> AsyncIterator[RunningServer]:
    async with running(settings.model_copy(update={"answer_grid_ms": int(SLOT_S * 1000)}), clock) as started:
        yield started


async def left_after(grid: ClockGrid, arrived_s: float) -> tuple[int, float]:
    late = await grid.departure(arrived_s)
    return late, time.perf_counter()


async def test_an_answer_leaves_at_the_first_multiple_at_least_a_slot_after_its_arrival() -> None:
    grid = ClockGrid(LONG_SLOT_S)
    arrivals = [time.perf_counter() + number * LONG_SLOT_S / 20 for number in range(10)]
    departures = await asyncio.gather(*(left_after(grid, arrived_s) for arrived_s in arrivals))
    for arrived_s, (late, left_s) in zip(arrivals, departures, strict=True):
        assert late == 0
        assert left_s >= (math.ceil(arrived_s / LONG_SLOT_S) + 1) * LONG_SLOT_S
        assert left_s - arrived_s >= LONG_SLOT_S


async def test_work_that_outlasts_its_slot_leaves_at_the_next_multiple_and_is_late() -> None:
    grid = ClockGrid(SLOT_S)
    now_s = time.perf_counter()
    late, left_s = await left_after(grid, now_s - 10 * SLOT_S)
    assert late >= 9
    assert left_s >= math.ceil(now_s / SLOT_S) * SLOT_S


async def test_answers_of_one_multiple_leave_together_and_in_no_order_of_their_work() -> None:
    grid = ClockGrid(LONG_SLOT_S)
    left: list[int] = []

    async def leave(number: int) -> None:
        await grid.departure(arrived_s)
        left.append(number)

    arrived_s = time.perf_counter()
    await asyncio.gather(*(leave(number) for number in range(100)))
    assert sorted(left) == [*range(100)]
    assert left != sorted(left)  # by chance as good as never


async def test_a_multiple_that_is_over_before_its_turn_is_no_fault() -> None:
    nanoseconds = ClockGrid(1e-9)
    for _ in range(10):
        assert await nanoseconds.departure(time.perf_counter()) > 0


async def test_an_answer_whose_caller_is_gone_holds_nobody_up() -> None:
    grid = ClockGrid(LONG_SLOT_S)
    arrived_s = time.perf_counter()
    gone, stays = (asyncio.create_task(grid.departure(arrived_s)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 0
    assert gone.cancelled()


async def test_a_grid_of_0_lets_everything_leave_at_once() -> None:
    assert await ClockGrid(0).departure(-math.inf) == 0


def test_the_routes_of_phones_are_on_the_grid_and_no_other(settings: ServerSettings, clock: HandClock) -> None:
    app = create_app(settings, clock)
    open_to_all = {route.path for route in app[ROUTES] if route.method == "POST" and not route.api_key}
    assert app[ANONYMOUS] == open_to_all


async def phone_requests(server: RunningServer) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return requests that phones send, of which each ends in another way."""
    body = await Phone(server).request(Phone(server).past_keys())

    async def post(path: str, message: object = body, **headers: str) -> Any:
        return await server.post(path, message, **headers)

    return {
        "a wrong code": lambda: post("/api/verify", {"code": "12345678"}),
        "a wrong token": lambda: post("/api/certificate", {"token": "x"}),
        "a report": lambda: published(server),
        "chaff": lambda: post("/v1/publish", x_chaff="1"),
        "not JSON": lambda: server.send("POST", "/v1/publish", b"{", content_type="application/json"),
        "another type": lambda: server.send("POST", "/v1/publish", b"{}", content_type="text/plain"),
        "too large": lambda: server.send("POST", "/v1/publish", b" " * 70_000, content_type="application/json"),
        "another method": lambda: server.send("GET", "/v1/publish"),
        "nothing there": lambda: server.send("GET", "/v1/publish/there"),
    }


async def on_grid(server: RunningServer) -> int:
    """Return how many answers the grid has let go."""
    return int(server.context.metrics.registry.get_sample_value("forewarn_answer_slots_count") or 0)


async def test_whatever_phones_are_answered_leaves_on_the_grid(server: RunningServer) -> None:
    for what, send in (await phone_requests(server)).items():
        before, began_s = await on_grid(server), time.perf_counter()
        await send()
        assert time.perf_counter() - began_s >= SLOT_S, what
        assert await on_grid(server) > before, what


async def test_a_fault_of_ours_leaves_on_the_grid_and_the_authoritys_answers_do_not(
    settings: ServerSettings, clock: HandClock
) -> None:
    async with running(settings.model_copy(update={"answer_grid_ms": 20}), clock) as server:
        for path in ("/health", "/openapi.json", "/nothing", "/config/vn.json"):
            await server.send("GET", path)
        await server.new_code()
        assert await on_grid(server) == 0
        await until_jobs_rest(server)
        await server.context.exposure.close()
        (server.context.settings.data / "exposure.db").write_bytes(b"no database")
        assert (await server.post("/api/verify", {"code": "12345678"})).status == 500
        assert await on_grid(server) == 1


async def test_an_answer_that_was_not_ready_for_its_multiple_is_counted_as_late(server: RunningServer) -> None:
    def late() -> float:
        return server.context.metrics.registry.get_sample_value("forewarn_late_answers_total") or 0.0

    body = await Phone(server).request(Phone(server).past_keys())
    before = late()
    async with server.context.exposure.writing():
        waiting = asyncio.create_task(server.post("/v1/publish", body, x_chaff="1"))
        while not server.context.exposure._turn._waiters:  # noqa: ASYNC110 - the server is code under test
            await asyncio.sleep(SLOT_S)
        await asyncio.sleep(5 * SLOT_S)  # real time, like the grid
    await waiting
    assert late() >= before + 1
