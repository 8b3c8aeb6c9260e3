"""Positive controls: two requests at once, where the write transactions are switched off.

Elsewhere tests show that one code, one token, one certificate and one quota hold against fifty requests at once. Here
is shown that it is the transactions that hold: without them both of two callers read before either writes.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_server.config import ServerSettings
from forewarn_server.store.engine import Database
from tests.server.hand_clock import HandClock
from tests.server.published_files import until_jobs_rest
from tests.server.reporting_phone import Phone
from tests.server.running_server import Reply, RunningServer, running

_PATIENCE_S = 10


class _Unprotected:
    """A connection that commits each statement by itself, and whose first read waits for that of the other caller."""

    def __init__(self, connection: AsyncConnection, both_have_read: asyncio.Barrier) -> None:
        self._connection = connection
        self._both_have_read: asyncio.Barrier | None = both_have_read

    async def execute(self, *statement: Any) -> Any:
        return await self._met(await self._connection.execute(*statement))

    async def scalar(self, *statement: Any) -> Any:
        return await self._met(await self._connection.scalar(*statement))

    async def _met(self, result: Any) -> Any:
        barrier, self._both_have_read = self._both_have_read, None
        if barrier is not None:
            async with asyncio.timeout(_PATIENCE_S):
                await barrier.wait()
        return result


async def switch_transactions_off(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two writers go at once; from now on nobody may write alone, so the background jobs must be at rest."""
    await until_jobs_rest(server)
    both_have_read = asyncio.Barrier(2)

    @asynccontextmanager
    async def writing(database: Database) -> AsyncIterator[_Unprotected]:
        async with database.reading() as connection:
            await connection.exec_driver_sql("COMMIT")
            yield _Unprotected(connection, both_have_read)

    monkeypatch.setattr(Database, "writing", writing)


def statuses(replies: list[Reply]) -> list[int]:
    return sorted(reply.status for reply in replies)


async def test_without_transactions_a_code_is_spent_twice(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (await server.new_code())["code"]
    await switch_transactions_off(server, monkeypatch)
    replies = await asyncio.gather(*(server.post("/api/verify", {"code": code}) for _ in range(2)))
    assert statuses(replies) == [200, 200]
    assert replies[0].json["token"] != replies[1].json["token"]


async def test_without_transactions_a_token_is_bound_to_two_sets_of_keys(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await server.new_token()
    hmacs = [base64.b64encode(bytes([i] * 32)).decode() for i in range(2)]
    await switch_transactions_off(server, monkeypatch)
    replies = await asyncio.gather(
        *(server.post("/api/certificate", {"token": token, "ekeyhmac": hmac}) for hmac in hmacs)
    )
    assert statuses(replies) == [200, 200]


async def test_without_transactions_a_repeated_publish_is_a_fault(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    await switch_transactions_off(server, monkeypatch)
    replies = await asyncio.gather(*(server.post("/v1/publish", body) for _ in range(2)))
    # The tables' own uniqueness still keeps the keys single, and a person is told that the report failed.
    assert statuses(replies) == [200, 500]


async def test_without_transactions_a_quota_is_overdrawn(
    settings: ServerSettings, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings.model_copy(update={"codes_per_key_and_day": 1}), clock) as server:
        with monkeypatch.context() as patch:
            await switch_transactions_off(server, patch)
            replies = await asyncio.gather(*(server.staff("/api/issue", {"testType": "confirmed"}) for _ in range(2)))
        assert statuses(replies) == [200, 200]
