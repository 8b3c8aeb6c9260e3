"""Callers who crawl, fall silent, pile up requests or send heads without end: others are answered meanwhile."""

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forewarn_server.config import ServerSettings
from forewarn_server.silent_callers import SilentCallers
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer, running

MEGABYTE = 1 << 20
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /api/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Line]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def drip(line: Line, data: bytes, pause_s: float) -> bytes:
    """Send a byte at a time, until the server has had enough; return what it said."""
    reader, writer = line
    said = asyncio.create_task(reader.read(10_000))
    for byte in data * 1000:
        if said.done():
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(pause_s)
    try:
        return await said
    except ConnectionError:
        return b""


@pytest.fixture
async def impatient(settings: ServerSettings, clock: HandClock) -> AsyncIterator[RunningServer]:
    async with running(settings.model_copy(update={"upload_wait_seconds": 1}), clock) as server:
        yield server


async def test_a_head_that_does_not_come_in_time_ends_the_connection_and_keeps_nobody_waiting(
    impatient: RunningServer,
) -> None:
    async def never_a_whole_head() -> bytes:
        async with connected(impatient.url) as line:
            line[1].write(b"GET /health HTTP/1.1\r\nX: ")
            return await drip(line, b"y", 0.05)

    async def never_a_byte() -> bytes:
        async with connected(impatient.url) as (reader, _):
            return await reader.read(100)

    callers = [asyncio.create_task(each()) for each in (never_a_whole_head, never_a_byte) for _ in range(10)]
    await asyncio.sleep(0.2)
    await impatient.new_token()
    assert not any(caller.done() for caller in callers)
    assert set(await asyncio.wait_for(asyncio.gather(*callers), 20)) == {b""}


async def test_without_the_watch_a_silent_caller_holds_a_connection(
    settings: ServerSettings, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    monkeypatch.setattr(SilentCallers, "watch", lambda *_: None)
    quick = settings.model_copy(update={"upload_wait_seconds": 1})
    async with running(quick, clock) as server, connected(server.url) as (reader, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 2)


async def test_a_caller_who_has_asked_may_be_slow_to_read_and_to_ask_again(impatient: RunningServer) -> None:
    async with connected(impatient.url) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert (await reader.readline()).split()[1] == b"200"
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(1.5)


@pytest.mark.parametrize(
    ("head", "crawling"),
    [
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
        (POST + b"Content-Length: 60000\r\n\r\n", b" "),
    ],
    ids=["chunks", "an extension of a chunk", "trailers", "a body"],
)
async def test_a_body_that_crawls_is_ended_in_the_same_time(
    impatient: RunningServer, head: bytes, crawling: bytes
) -> None:
    async with connected(impatient.url) as line:
        line[1].write(head)
        answer = await asyncio.wait_for(drip(line, crawling, 0.05), 20)
        assert b" 408 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0]


HEADS = {
    "a long address": b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
    "an address without end": b"GET /" + b"a" * MEGABYTE,
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"a" * MEGABYTE,
    "headers without end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
    "a word without end": b"G" * MEGABYTE,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length of many digits": POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}",
    "a chunk of many digits": CHUNKED + b"f" * 40 + b"\r\n{}",
    "NUL in a header": b"GET /health HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
}


async def test_a_head_that_is_none_or_has_no_end_is_refused(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    for name, head in HEADS.items():
        async with connected(server.url) as (reader, writer):
            writer.write(head)
            try:
                answer = await asyncio.wait_for(reader.read(100_000), 20)
            except ConnectionError:
                answer = b""  # closed with bytes of ours unread
            assert b" 400 " in answer.split(b"\r\n")[0] or not answer, name
    assert (await server.send("GET", "/health")).status == 200
    assert "internal error" not in caplog.text


@pytest.mark.slow
async def test_requests_piled_up_without_reading_answers_are_not_taken_in_and_others_are_answered(
    server: RunningServer, figure: Callable[[str], None]
) -> None:
    async with connected(server.url) as (reader, writer):
        sent = 0

        async def pile_up() -> None:
            nonlocal sent
            while True:
                writer.write(GET * 1_000)
                await writer.drain()
                sent += len(GET) * 1_000

        piling = asyncio.create_task(pile_up())
        before = -1
        while before != sent:  # until the server takes no more
            before = sent
            await server.new_token()
            await asyncio.sleep(0.3)
        assert not piling.done()
        assert sent < 32 * MEGABYTE
        # Positive control: it stands still because the answers are not read, and goes on when they are.
        while sent == before:
            assert await reader.read(MEGABYTE)
        piling.cancel()
    figure(f"requests piled up on one connection: {before / 1e6:.1f} MB taken, then no more until answers are read")


def memory_mb(process: int) -> float:
    with Path(f"/proc/{process}/status").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


@pytest.mark.slow
async def test_ten_thousand_idle_connections_cost_little_memory_and_nobody_an_answer(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    program = [sys.executable, "-m", "forewarn_server"]
    folder = str(tmp_path / "server")
    init = await asyncio.create_subprocess_exec(
        *program, "init", "--data", folder, "--region", "vn", stdout=asyncio.subprocess.DEVNULL
    )
    assert await init.wait() == 0
    environment = {**os.environ, "FOREWARN_SERVER_UPLOAD_WAIT_SECONDS": "600"}
    server = await asyncio.create_subprocess_exec(
        *program, "run", "--data", folder, "--port", "0", stdout=asyncio.subprocess.PIPE, env=environment
    )
    writers: list[asyncio.StreamWriter] = []
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().split()[-1]
        host, port = url.removeprefix("http://").split(":")
        before_mb = memory_mb(server.pid)
        while len(writers) < min(wanted, hard - 500):
            _, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
        idle_mb = memory_mb(server.pid) - before_mb
        for writer in writers:
            writer.write(b"GET /health HTTP/1.1\r\nX: " + b"y" * 8_000)
        async with connected(url) as (reader, writer):
            writer.write(GET)
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 30)
        half_mb = memory_mb(server.pid) - before_mb
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for writer in writers:
            writer.transport.abort()
        server.terminate()
        await server.wait()
    count = len(writers)
    figure(f"{count} idle connections: {idle_mb:.0f} MB; with a half-sent head of 8 kB each: {half_mb:.0f} MB")
    assert idle_mb * 1024 / count < 32
    # Positive control: the measure sees what a connection holds.
    assert idle_mb < half_mb < idle_mb + count * 64 / 1024
