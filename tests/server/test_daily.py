import pytest

from tests.server.running_server import Reply, RunningServer, row_counts

BYTES = "application/octet-stream"


async def daily(server: RunningServer, body: bytes, content_type: str = BYTES) -> Reply:
    return await server.send("POST", "/v1/daily", body, content_type=content_type)


async def test_1024_bytes_are_answered_with_1024_and_nothing_is_stored(server: RunningServer) -> None:
    before = await row_counts(server)
    replies = [await daily(server, bytes([number]) * 1024) for number in range(3)]
    for reply in replies:
        assert (reply.status, reply.reason, len(reply.body)) == (200, "", 1024)
        assert reply.headers["Content-Type"] == BYTES
    # A proxy that compresses what it can would make them shorter than random bytes.
    assert len({reply.body for reply in replies}) == 3
    assert await row_counts(server) == before


@pytest.mark.parametrize("length", [0, 1, 1023, 1025, 65_536])
async def test_any_other_size_is_refused(server: RunningServer, length: int) -> None:
    reply = await daily(server, bytes(length))
    assert (reply.status, reply.json["errorCode"]) == (400, "bad_request")
    assert "exactly 1024" in reply.json["error"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain; charset=utf-8"])
async def test_nothing_but_the_size_is_looked_at(server: RunningServer, content_type: str) -> None:
    reply = await daily(server, bytes(1024), content_type)
    assert (reply.status, len(reply.body)) == (200, 1024)


async def test_a_body_over_64_kb_is_refused_unread(server: RunningServer) -> None:
    assert (await daily(server, bytes(65_537))).status == 413
