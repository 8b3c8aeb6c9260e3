import socket

import pytest
from aiohttp import ClientSession, web

from forewarn_protocol.errors import Missing
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.metrics import Metrics
from forewarn_server.routing import Route, add
from forewarn_server.serving import listening, telling
from tests.server.hand_clock import HandClock


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def fetched(url: str) -> tuple[int, str]:
    async with ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_the_operator_reads_metrics_on_a_port_of_their_own_and_nobody_on_the_public_one(
    settings: ServerSettings, clock: HandClock
) -> None:
    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError

    port = free_port()
    app = create_app(settings.model_copy(update={"metrics_port": port}), clock)
    add(app, (Route("GET", "/broken", broken, "x"),))
    async with listening(app, "127.0.0.1", 0) as url:
        assert (await fetched(url + "/broken"))[0] == 500
        status, text = await fetched(f"http://127.0.0.1:{port}/metrics")
        assert (await fetched(url + "/metrics"))[0] == 404
    assert status == 200
    assert "forewarn_internal_errors_total 1.0" in text


async def test_two_servers_of_one_process_count_apart() -> None:
    here, there = Metrics(), Metrics()
    here.internal_errors.inc()
    async with telling(there, 0) as url:
        assert "forewarn_internal_errors_total 0.0" in (await fetched(url))[1]


async def test_a_metrics_port_in_use_is_told_with_its_setting(settings: ServerSettings, clock: HandClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = create_app(settings.model_copy(update={"metrics_port": taken.getsockname()[1]}), clock)
        with pytest.raises(Missing, match="in use: set metrics_port"):
            async with listening(app, "127.0.0.1", 0):
                raise AssertionError("it listens")
