"""Chaff on all three steps of a report: answered like the real thing, and nothing of it stays."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from forewarn_server.config import ServerSettings
from tests.server.hand_clock import HandClock
from tests.server.publish_routes import INVALID_CERTIFICATE, assert_refused
from tests.server.reporting_phone import Phone, b64, tekmac_of
from tests.server.running_server import RunningServer, row_counts, running


@pytest.fixture
async def server(settings: ServerSettings, clock: HandClock) -> AsyncIterator[RunningServer]:
    async with running(settings.model_copy(update={"answer_grid_ms": 1}), clock) as started:
        yield started


STEPS = ("/api/verify", "/api/certificate", "/v1/publish")


async def real_request(server: RunningServer, path: str) -> Any:
    """Return a request that changes what is stored, of which nothing has been sent yet."""
    phone = Phone(server)
    if path == "/api/verify":
        return {"code": (await server.new_code())["code"], "nonce": b64(secrets.token_bytes(32))}
    if path == "/api/certificate":
        return {"token": await server.new_token(), "ekeyhmac": tekmac_of(phone.past_keys())}
    return await phone.request(phone.past_keys())


async def contents(server: RunningServer) -> list[str]:
    """Return every row of the anonymous zone as SQL."""
    async with server.context.exposure.reading() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        return [line async for line in raw.driver_connection.iterdump()]


@pytest.mark.parametrize("path", STEPS)
async def test_chaff_is_answered_like_a_real_request_and_changes_nothing(server: RunningServer, path: str) -> None:
    body = await real_request(server, path)
    before = await contents(server)
    chaff = await server.post(path, body, x_chaff="1")
    assert await contents(server) == before
    real = await server.post(path, body, x_equal="1")
    # Positive control: without the header the very same body changes what is stored.
    assert await contents(server) != before
    assert (
        (chaff.status, chaff.reason, len(chaff.body)) == (real.status, real.reason, len(real.body)) == (200, "", 2048)
    )
    assert [(name, len(value)) for name, value in chaff.headers.items()] == [
        (name, len(value)) for name, value in real.headers.items()
    ]
    assert chaff.json.keys() == real.json.keys()
    for name in ("token", "certificate", "revisionToken"):
        assert abs(len(chaff.json.get(name, "")) - len(real.json.get(name, ""))) < 10, name


@pytest.mark.parametrize("path", STEPS)
async def test_chaff_of_random_bytes_is_answered_too(server: RunningServer, path: str) -> None:
    before = await row_counts(server)
    reply = await server.send("POST", path, secrets.token_bytes(3_000), content_type="application/json", x_chaff="1")
    assert (reply.status, len(reply.body)) == (200, 2048)
    assert await row_counts(server) == before


async def test_what_chaff_is_given_is_worth_nothing(server: RunningServer) -> None:
    phone = Phone(server)
    keys = phone.past_keys()
    token = (await server.post("/api/verify", {"code": "12345678"}, x_chaff="1")).json["token"]
    ask = {"token": token, "ekeyhmac": tekmac_of(keys)}
    refused = await server.post("/api/certificate", ask)
    assert (refused.status, refused.json["errorCode"]) == (400, "token_invalid")
    certificate = (await server.post("/api/certificate", ask, x_chaff="1")).json["certificate"]
    body = {**await phone.request(keys), "verificationPayload": certificate}
    assert_refused(await server.post("/v1/publish", body), INVALID_CERTIFICATE)
    assert set(claims(certificate)) <= set(claims(await phone.certificate(tekmac_of(keys))))


def claims(certificate: str) -> dict[str, Any]:
    middle = certificate.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


async def test_chaff_with_a_live_code_does_not_tell_that_it_lives(server: RunningServer) -> None:
    live, dead = (await server.new_code())["code"], "12345678"
    told = [await server.post("/api/verify", {"code": code}, x_chaff="1") for code in (live, dead)]
    assert told[0].json.keys() == told[1].json.keys()
    assert told[0].status == told[1].status == 200
    assert (await server.post("/api/verify", {"code": live})).status == 200


@pytest.mark.parametrize("path", STEPS)
async def test_chaff_waits_for_its_turn_among_the_writers(server: RunningServer, path: str) -> None:
    """Who floods the server would else see which of two requests did not wait."""
    chaff_body = {**await real_request(server, path)}
    async with server.context.exposure.writing():
        waiting = asyncio.create_task(server.post(path, chaff_body, x_chaff="1"))
        garbage = await server.send("POST", path, b"{", content_type="application/json", x_chaff="1")
        assert garbage.status == 200  # positive control: what is no request waits for nobody
        for _ in range(20):
            await server.send("GET", "/health")
        assert not waiting.done()
    assert (await waiting).status == 200
