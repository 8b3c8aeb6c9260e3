"""The real server over real HTTP on 127.0.0.1, as tests of its routes drive it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from multidict import CIMultiDict
from sqlalchemy import func, select

from forewarn_server.accounts.api_keys import Role, add
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.context import CONTEXT, Context
from forewarn_server.jobs import JOBS
from forewarn_server.serving import listening
from forewarn_server.store.exposure_tables import exposure
from forewarn_server.store.registry_tables import erasures, registry
from tests.server.hand_clock import HandClock


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: CIMultiDict[str]
    reason: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class RunningServer:
    url: str
    clock: HandClock
    context: Context
    session: ClientSession
    issuer_key: str
    jobs: int

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send anything, with headers named as in Python (content_type)."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, data=body, headers=sent) as response:
            return Reply(response.status, await response.read(), CIMultiDict(response.headers), response.reason)

    async def post(self, path: str, message: object, **headers: str) -> Reply:
        """Send a JSON message."""
        return await self.send("POST", path, json.dumps(message).encode(), content_type="application/json", **headers)

    async def staff(self, path: str, message: object) -> Reply:
        """Send a JSON message with the issuer's API key."""
        return await self.post(path, message, x_api_key=self.issuer_key)

    async def new_code(self, **fields: object) -> Any:
        """Issue a code and return the answer."""
        reply = await self.staff("/api/issue", {"testType": "confirmed", **fields})
        assert reply.status == 200, reply.json
        return reply.json

    async def new_token(self, **fields: object) -> str:
        """Issue and verify a code, and return the token."""
        code = (await self.new_code(**fields))["code"]
        reply = await self.post("/api/verify", {"code": code, "accept": ["confirmed", "likely", "negative"]})
        assert reply.status == 200, reply.json
        return str(reply.json["token"])


async def row_counts(server: RunningServer) -> dict[str, int]:
    """Return how many rows each table of both databases has, but for the record that a background job keeps."""
    counts = {}
    for database, tables in ((server.context.exposure, exposure), (server.context.registry, registry)):
        async with database.reading() as connection:
            for table in set(tables.sorted_tables) - {erasures}:
                counts[table.name] = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    return counts


@asynccontextmanager
async def running(settings: ServerSettings, clock: HandClock) -> AsyncIterator[RunningServer]:
    app = create_app(settings, clock)
    async with listening(app, "127.0.0.1", 0) as url, ClientSession() as session:
        _, key = await add(app[CONTEXT], "ward 3", Role.ISSUER)
        yield RunningServer(url, clock, app[CONTEXT], session, key, len(app[JOBS]))
