import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.routing import ROUTES
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer, row_counts, running

STAFF_PATHS = ("/api/issue", "/api/batch-issue", "/api/checkcodestatus", "/api/expirecode")
PHONE_PATHS = ("/api/verify", "/api/certificate", "/v1/publish")
PATHS = STAFF_PATHS + PHONE_PATHS
LIMIT = 65_536

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
wrong_fields = st.dictionaries(
    st.sampled_from(["code", "codes", "token", "uuid", "testType", "nonce", "accept", "ekeyhmac", "symptomDate"]),
    any_json,
    max_size=5,
)
patient = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def code_field(path: str) -> str:
    return "code" if path.startswith("/v1/") else "errorCode"


def test_the_paths_of_these_tests_are_all_that_take_a_body(settings: ServerSettings, clock: HandClock) -> None:
    routes = create_app(settings, clock)[ROUTES]
    assert {route.path for route in routes if route.request} == set(PATHS)
    assert {route.path for route in routes if route.api_key and route.request} == set(STAFF_PATHS)
    assert {route.path for route in routes if route.takes} == {"/api/upload", "/v1/daily"}  # no JSON


def broken_bodies() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "no JSON", b"{"
    yield "not UTF-8", b'{"code": "\xff"}'
    yield "an array", b"[]"
    yield "a number", b"1"
    yield "null", b"null"
    yield "NaN", b"NaN"
    yield "an empty object", b"{}"
    yield "nested arrays", b"[" * 60_000
    yield "nested objects", b'{"a":' * 10_000
    yield "a huge number", b'{"code": ' + b"9" * 60_000 + b"}"
    yield "wrong types", b'{"code":1,"token":[],"uuid":{},"codes":"x","testType":7,"temporaryExposureKeys":1}'


BAD_INPUT_CODES = {"bad_request", "code_invalid", "token_invalid", "hmac_invalid", "invalid_test_type"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_broken_body_is_refused_in_the_apis_words(server: RunningServer, path: str) -> None:
    before = await row_counts(server)
    for name, body in broken_bodies():
        reply = await server.send("POST", path, body, content_type="application/json", x_api_key=server.issuer_key)
        assert reply.status == 400, name
        assert reply.json[code_field(path)] in BAD_INPUT_CODES, name
        assert "\n" not in reply.json["error"], name
        assert len(reply.body) == 2048, name
    assert await row_counts(server) == before


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_over_64_kb_is_not_read(server: RunningServer, path: str) -> None:
    for body, status in ((b" " * LIMIT, 400), (b" " * (LIMIT + 1), 413), (b" " * 10 * LIMIT, 413)):
        reply = await server.send("POST", path, body, content_type="application/json", x_api_key=server.issuer_key)
        assert (reply.status, reply.json[code_field(path)]) == (status, "bad_request"), len(body)


async def raw_answer(server: RunningServer, request: bytes) -> bytes:
    """Send bytes and return the head of the answer; the caller goes on sending nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_says_it_is_over_64_kb_is_refused_before_a_byte_of_it(server: RunningServer) -> None:
    head = b"POST /api/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    assert b" 413 " in await raw_answer(server, head % (LIMIT + 1))


async def test_a_body_that_does_not_come_in_time_is_408_and_keeps_nobody_waiting(
    settings: ServerSettings, clock: HandClock
) -> None:
    head = b"POST /v1/publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"
    async with running(settings.model_copy(update={"upload_wait_seconds": 1}), clock) as server:
        slow = [asyncio.create_task(raw_answer(server, head)) for _ in range(20)]
        await server.new_token()
        assert not any(caller.done() for caller in slow)
        assert all(b" 408 " in answer for answer in await asyncio.gather(*slow))


async def test_a_body_without_declared_length_is_cut_off_at_64_kb(server: RunningServer) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b" " * 8_192

    headers = {"Content-Type": "application/json"}
    async with server.session.post(server.url + "/api/verify", data=endless(), headers=headers) as response:
        assert response.status == 413


async def test_another_content_type_is_415(server: RunningServer) -> None:
    for path in PATHS:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/cbor"):
            reply = await server.send("POST", path, b"{}", content_type=content_type, x_api_key=server.issuer_key)
            assert (reply.status, reply.json[code_field(path)]) == (415, "bad_request")


async def test_a_compressed_body_is_415_and_never_inflated(server: RunningServer) -> None:
    headers = {"content_type": "application/json", "content_encoding": "gzip"}
    reply = await server.send("POST", "/api/verify", b"\x1f\x8b" + bytes(100), **headers)
    assert reply.status == 415


async def test_another_method_is_405_and_told_which_is_right(server: RunningServer) -> None:
    for path in PATHS:
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            reply = await server.send(method, path)
            assert (reply.status, reply.headers["Allow"]) == (405, "POST")
            if method != "HEAD":
                assert reply.json[code_field(path)] == "bad_request"


async def test_whatever_can_be_fetched_can_be_asked_about_with_head(server: RunningServer) -> None:
    for path in ("/health", "/openapi.json", "/config/vn.json", "/config/vn.json.sig", "/exports/vn/index.txt"):
        fetched, asked = await server.send("GET", path), await server.send("HEAD", path)
        assert (asked.status, asked.body) == (200, b""), path
        for name in ("Content-Length", "Content-Type", "Cache-Control"):
            assert asked.headers[name] == fetched.headers[name], (path, name)


async def test_a_name_of_any_length_is_404_and_no_fault_of_ours(server: RunningServer) -> None:
    for path in ("/config/{}.json", "/advice/{}.json.sig", "/exports/{}/index.txt", "/exports/vn/{}-1-00001.zip"):
        reply = await server.send("GET", path.format("1" * 5_000))
        assert (reply.status, reply.json["errorCode"]) == (404, "bad_request"), path


async def test_an_unknown_address_is_404_in_json(server: RunningServer) -> None:
    for path in ("/", "/api", "/api/verify/", "/nothing", "/%00", "/..%2f..%2fetc/passwd", "//api/issue"):
        reply = await server.send("GET", path)
        assert (reply.status, reply.json["errorCode"]) == (404, "bad_request")


@pytest.mark.parametrize("path", PATHS)
@patient
@given(body=st.binary(max_size=200))
async def test_random_bytes_are_a_bad_request(server: RunningServer, path: str, body: bytes) -> None:
    reply = await server.send("POST", path, body, content_type="application/json", x_api_key=server.issuer_key)
    assert reply.status == 400


@pytest.mark.parametrize("path", PATHS)
@patient
@given(message=wrong_fields)
async def test_random_messages_never_are_the_servers_fault(
    server: RunningServer, path: str, message: dict[str, object]
) -> None:
    reply = await server.post(path, message, x_api_key=server.issuer_key)
    assert reply.status in {200, 400, 404, 409, 412}


@pytest.mark.parametrize("path", ["/api/verify", "/api/issue"])
@patient
@given(junk=st.binary(min_size=1, max_size=100))
async def test_random_bytes_instead_of_http_do_not_stop_the_server(
    server: RunningServer, path: str, junk: bytes
) -> None:
    with socket.create_connection(server.url.removeprefix("http://").split(":")) as connection:
        connection.sendall(junk + b"\r\n\r\n")
    assert (await server.send("GET", path)).status == 405


async def test_an_answer_never_repeats_what_was_sent(server: RunningServer) -> None:
    planted = "planted-secret"
    for message in ({"code": [planted]}, {planted: 1}, {"uuid": planted}, {"testType": planted}, {"nonce": planted}):
        for path in PATHS:
            reply = await server.post(path, message, x_api_key=server.issuer_key)
            assert planted.encode() not in reply.body


async def test_date_is_the_injected_clocks(server: RunningServer) -> None:
    server.clock.advance(90)
    for path in ("/health", "/nothing"):
        assert (await server.send("GET", path)).headers["Date"] == "Mon, 31 May 2021 12:01:30 GMT"


async def test_a_body_in_broken_chunks_is_400_and_no_fault_of_ours(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        "POST /api/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + b"zz\r\n{}\r\n0\r\n\r\n")
    status_line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert status_line.split()[1] == b"400"
    assert "internal error" not in caplog.text


async def test_a_caller_that_hangs_up_in_the_middle_is_no_fault_of_ours(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await server.send("GET", "/health")).status == 200
    assert "internal error" not in caplog.text
