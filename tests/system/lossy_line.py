"""A line between a phone and the server on which a chosen answer gets lost after the server has done its work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer


@dataclass
class LossyLine:
    """Relays requests; the next answers of the paths in `lost` never arrive. `sent`: what phones posted, in bytes."""

    server: str
    session: ClientSession
    url: str = ""
    lost: list[str] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)

    async def relay(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body:
            self.sent.append((request.path, len(body)))
        headers = {name: value for name, value in request.headers.items() if name in {"Content-Type", "User-Agent"}}
        async with self.session.request(
            request.method, self.server + request.path, data=body or None, headers=headers
        ) as answer:
            received = await answer.read()
        if request.path in self.lost:
            self.lost.remove(request.path)
            if request.transport is not None:
                request.transport.close()
        date = {"Date": answer.headers["Date"]}
        return web.Response(status=answer.status, body=received, headers=date)


@asynccontextmanager
async def lossy_line(server: str) -> AsyncIterator[LossyLine]:
    async with ClientSession() as session:
        line = LossyLine(server, session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", line.relay)
        async with TestServer(app) as http:
            line.url = str(http.make_url("")).rstrip("/")
            yield line
