import base64
import logging

import pytest
from aiohttp import ClientSession, web

from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.logs import logger, silence_libraries
from forewarn_server.routing import Route, add
from forewarn_server.serving import listening
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer

HMAC = base64.b64encode(bytes([7] * 32)).decode()
UUID = "5dbb4b2c-3d44-4d16-9a52-1e2a6b1c8f01"


async def a_case(server: RunningServer) -> list[str]:
    """Everything of a case that no log line may hold."""
    issued = await server.new_code(uuid=UUID)
    token = (await server.post("/api/verify", {"code": issued["code"]})).json["token"]
    certificate = (await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})).json["certificate"]
    await server.post("/api/verify", {"code": issued["code"]})
    await server.send("POST", "/api/verify", b"{planted-body", content_type="application/json")
    await server.send("GET", "/planted-path?planted-query")
    planted = ["planted-body", "planted-path", "planted-query", "127.0.0.1"]
    return [UUID, issued["code"], issued["longCode"], token, certificate, HMAC, server.issuer_key, *planted]


def found_in(secrets: list[str], log: pytest.LogCaptureFixture) -> list[str]:
    return [secret for secret in secrets if secret in log.text]


async def test_at_debug_no_line_holds_anything_of_a_case(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert found_in(await a_case(server), caplog) == []


async def test_the_search_finds_what_libraries_would_say_unsilenced(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Positive control: with the silence lifted the database driver prints what it stores."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("aiosqlite").setLevel(logging.DEBUG)
    try:
        assert UUID in found_in(await a_case(server), caplog)
    finally:
        silence_libraries()


def test_a_field_that_is_not_on_the_list_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger().warning("sealed", files=2, token="planted", address="planted")
    assert '"files": 2' in caplog.text
    assert "planted" not in caplog.text


async def test_a_defect_is_logged_by_place_and_never_by_message(
    settings: ServerSettings, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: web.Request) -> web.Response:
        raise ValueError(await request.text())

    app = create_app(settings, clock)
    add(app, (Route("POST", "/broken", broken, "Fail."),))
    async with (
        listening(app, "127.0.0.1", 0) as url,
        ClientSession() as session,
        session.post(url + "/broken", data=b"planted-secret") as response,
    ):
        assert response.status == 500
        body = await response.json()
    assert body["errorCode"] == "internal_error"
    assert "planted-secret" not in str(body)
    assert "ValueError" in caplog.text
    assert "test_logs.py" in caplog.text
    assert "planted-secret" not in caplog.text
