"""A server, or a stranger in its place, that never ends, never answers, lies about lengths, or sends elsewhere."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable
from itertools import product
from pathlib import Path

import aiohttp
import pytest

from forewarn_client import connection
from forewarn_client.connection import connect
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_protocol.errors import ForewarnError, Missing
from forewarn_protocol.exports.index import MAX_INDEX_BYTES
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.hostile_server import A_CHUNK, CHUNKED, HEAD, MEGABYTE, Behaviour, HostileServer, Line, hostile
from tests.client.meetings import confirmed, key_of_day, meet, phone, stored_matches
from tests.client.test_fetching import CONFIGURATION, INDEX, ledger

CASE = key_of_day(NOON_S - DAY_S, 1)
EXPORT = "/exports/vn/0000.zip"
QUICK = aiohttp.ClientTimeout(total=0.4, sock_connect=0.3, sock_read=0.3)
"""The product's three limits, a hundred times shorter."""


@pytest.fixture
async def attacker(server: HonestServer) -> AsyncIterator[HostileServer]:
    async with hostile(server) as running:
        yield running


@pytest.fixture
async def device(attacker: HostileServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that has met the case of the one export."""
    honest = attacker.honest
    async with phone(honest, tmp_path / "phone", clock, server=attacker.url) as opened:
        await meet(opened, CASE, NOON_S - DAY_S, 30)
        assert honest.put_export([confirmed(CASE)]) == EXPORT
        yield opened


async def endless_body(line: Line) -> None:
    await line.send(HEAD + b"\r\n")
    await line.for_ever(b"x" * 65_536)


async def endless_chunks(line: Line) -> None:
    await line.send(CHUNKED)
    await line.for_ever(A_CHUNK)


async def endless_trailer(line: Line) -> None:
    await line.send(CHUNKED + b"0\r\n")
    await line.for_ever(b"X-More: " + b"x" * 1000 + b"\r\n")


async def endless_headers(line: Line) -> None:
    await line.send(HEAD)
    await line.for_ever(b"X-More: " + b"x" * 1000 + b"\r\n")


async def one_endless_header(line: Line) -> None:
    await line.send(HEAD + b"X-More: ")
    await line.for_ever(b"x" * 65_536)


async def endless_status_line(line: Line) -> None:
    await line.send(b"HTTP/1.1 200 ")
    await line.for_ever(b"x" * 65_536)


async def a_lie_of_length(line: Line) -> None:
    await line.send(HEAD + b"Content-Length: 10\r\n\r\n")
    await line.for_ever(b"x" * 65_536)


ENDLESS = (
    *(endless_body, endless_chunks, endless_trailer, endless_headers, one_endless_header, endless_status_line),
    a_lie_of_length,
)

LIES = {
    "cut off": HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 100,
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nxxxxx",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "a length of 5000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a chunk that is no number": CHUNKED + b"zz\r\n",
    "a negative chunk": CHUNKED + b"-5\r\nxxxxx\r\n",
    "a chunk of 40 digits": CHUNKED + b"f" * 40 + b"\r\n" + b"x" * 1000,
    "no HTTP": bytes(range(256)) * 4,
    "HTTP/0.9": b"hello\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\n\r\nxx",
    "a status of 100 digits": b"HTTP/1.1 " + b"2" * 100 + b" OK\r\n\r\nxx",
    "another protocol": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + b"x" * 1000,
    "NUL in a header": HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\nxx",
    "a folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nxx",
    "a date of no year": HEAD + b"Date: Mon, 31 May 99999 12:01:30 GMT\r\nContent-Length: 2\r\n\r\nxx",
    "an age of no number": HEAD + b"Date: Mon, 31 May 2021 12:01:30 GMT\r\nAge: " + b"9" * 999 + b"\r\n\r\nxx",
    "an age of centuries": HEAD + b"Date: Mon, 31 May 2021 12:01:30 GMT\r\nAge: 9999999999999\r\n\r\nxx",
    "an age before all time": HEAD + b"Date: Mon, 31 May 2021 12:01:30 GMT\r\nAge: -9999999999999\r\n\r\nxx",
    "a date that is no ASCII": HEAD + b"Date: \xff\xfe\r\nContent-Length: 2\r\n\r\nxx",
    "gzip by transfer": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
    "a content type of quotes": HEAD + b'Content-Type: text/html; charset="\r\nContent-Length: 2\r\n\r\nxx',
    "nothing": b"",
    "no address to go to": b"HTTP/1.1 302 x\r\nLocation: http://[::::/\r\nContent-Length: 0\r\n\r\n",
}


async def refusal(device: Device, attacker: HostileServer, path: str) -> str:
    """Fetch, or post where the path is the API's; return the one line that a person is told."""
    try:
        if path.startswith("/api/"):
            async with connect(attacker.url, device.clock) as line:
                answer = await line.post(path, b"{}")
            return "" if answer.status == 200 and answer.body.startswith(b"{") else "no answer of the API"
        outcome = await fetch(device)
    except ForewarnError as error:
        return error.message
    return "; ".join(outcome.warnings)


async def refused_and_nothing_applied(device: Device, attacker: HostileServer, path: str) -> str:
    told = await asyncio.wait_for(refusal(device, attacker, path), 20)
    assert told
    assert "\n" not in told
    assert "127.0.0.1" not in told
    assert await ledger(device) == set()
    assert await stored_matches(device) == set()
    return told


async def honest_again(device: Device, attacker: HostileServer) -> None:
    """Positive control: the same phone, the same file, once the line is honest."""
    attacker.spoiled.clear()
    assert (await fetch(device)).complete
    assert await stored_matches(device) == {CASE.key}


PATHS = pytest.mark.parametrize("path", [CONFIGURATION, INDEX, EXPORT, "/api/verify"])


@PATHS
async def test_an_answer_without_end_is_cut_off_and_nothing_of_it_is_applied(
    device: Device, attacker: HostileServer, path: str, figure: Callable[[str], None]
) -> None:
    most = 0
    tracemalloc.start()
    for attack in ENDLESS:
        attacker.spoiled[path] = attack
        before = attacker.sent
        await refused_and_nothing_applied(device, attacker, path)
        most = max(most, attacker.sent - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # What was not read waits in the buffers of two sockets.
    assert most < MAX_INDEX_BYTES + 16 * MEGABYTE
    assert peak < 2 * MAX_INDEX_BYTES + 8 * MEGABYTE
    await honest_again(device, attacker)
    figure(f"endless answers to {path}: {most / 1e6:.1f} MB taken, {peak / 1e6:.1f} MB of memory at the peak")


@PATHS
async def test_an_answer_that_lies_or_breaks_is_one_line_and_nothing_of_it_is_applied(
    device: Device, attacker: HostileServer, path: str
) -> None:
    for answer in LIES.values():
        attacker.spoiled[path] = lambda line, answer=answer: line.send(answer)
        await refused_and_nothing_applied(device, attacker, path)

    async def reset(line: Line) -> None:
        await line.send(HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 100)
        line.reset()

    attacker.spoiled[path] = reset
    assert "cannot be reached" in await refused_and_nothing_applied(device, attacker, path)
    await honest_again(device, attacker)


async def test_nobody_is_sent_to_another_server(device: Device, attacker: HostileServer) -> None:
    async with hostile(attacker.honest) as elsewhere:
        for path, status in product((CONFIGURATION, EXPORT, "/api/verify"), (301, 302, 303, 307, 308)):
            head = b"HTTP/1.1 %d x\r\nLocation: %b%b\r\nContent-Length: 0\r\n\r\n"
            answer = head % (status, elsewhere.url.encode(), path.encode())
            attacker.spoiled[path] = lambda line, answer=answer: line.send(answer)
            await refused_and_nothing_applied(device, attacker, path)
            del attacker.spoiled[path]
        assert elsewhere.lines == []


async def test_a_compressed_answer_is_not_inflated_though_it_was_not_asked_for(
    device: Device, attacker: HostileServer
) -> None:
    packed = gzip.compress(bytes(50 * MEGABYTE))
    tracemalloc.start()
    for path, coding in product((CONFIGURATION, EXPORT, "/api/verify"), (b"gzip", b"deflate", b"br", b"zstd")):
        answer = HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (coding, len(packed), packed)
        attacker.spoiled[path] = lambda line, answer=answer: line.send(answer)
        await refused_and_nothing_applied(device, attacker, path)
        del attacker.spoiled[path]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MEGABYTE


async def one_byte_now_and_then(line: Line) -> None:
    await line.send(HEAD + b"Content-Length: 200\r\n\r\n")
    await line.for_ever(b"x", 0.05)


async def a_header_now_and_then(line: Line) -> None:
    await line.send(HEAD)
    await line.for_ever(b"X: y\r\n", 0.05)


async def patience_for_ever(line: Line) -> None:
    await line.for_ever(b"HTTP/1.1 102 Processing\r\n\r\n", 0.05)


async def endless_chunk_extension(line: Line) -> None:
    await line.send(CHUNKED + b"1;")
    await line.for_ever(b"x", 0.05)


async def silence(line: Line) -> None:
    del line
    await asyncio.Event().wait()


SLOW = (one_byte_now_and_then, a_header_now_and_then, patience_for_ever, endless_chunk_extension, silence)


@pytest.mark.parametrize("attack", SLOW, ids=lambda attack: attack.__name__)
async def test_a_slow_server_is_given_up_after_a_time_in_all(
    device: Device, attacker: HostileServer, attack: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "time_limit", lambda _: QUICK)
    for path in (CONFIGURATION, EXPORT, "/api/verify"):
        attacker.spoiled[path] = attack
        assert "cannot be reached" in await refused_and_nothing_applied(device, attacker, path)
        del attacker.spoiled[path]
    await honest_again(device, attacker)


async def test_a_server_that_never_answers_to_tls_is_given_up(
    device: Device, attacker: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "time_limit", lambda _: QUICK)
    attacker.spoiled[""] = silence
    async with connect(attacker.url.replace("http", "https"), device.clock) as line:
        with pytest.raises(Missing, match="cannot be reached"):
            await asyncio.wait_for(line.get(CONFIGURATION, 100), 20)


async def test_without_a_time_in_all_a_slow_server_holds_a_fetch(
    device: Device, attacker: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the three limits."""
    for attack in (one_byte_now_and_then, silence):
        no_total = aiohttp.ClientTimeout(total=None, sock_read=None if attack is silence else QUICK.sock_read)
        monkeypatch.setattr(connection, "time_limit", lambda _, limit=no_total: limit)
        attacker.spoiled[CONFIGURATION] = attack
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(device), 1.0)


def test_the_time_in_all_grows_with_what_may_come() -> None:
    assert connection.time_limit(256).total == pytest.approx(30, abs=1)
    assert connection.time_limit(MAX_INDEX_BYTES).total == pytest.approx(158, abs=1)
    assert connection.time_limit(32 * MEGABYTE).total == pytest.approx(2078, abs=1)
    assert (QUICK.total, QUICK.sock_read) < (30, 30)
    for limit in (0, 32 * MEGABYTE):
        assert connection.time_limit(limit).sock_read == 30
        assert connection.time_limit(limit).sock_connect == 15
