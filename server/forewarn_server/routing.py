"""The route table: what each feature serves, in the form from which both the router and OpenAPI are made."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from forewarn_protocol.wire import MAX_BODY_BYTES
from forewarn_server.clock_grid import ANONYMOUS, note_arrival
from forewarn_server.context import CONTEXT
from forewarn_server.problems import STYLES, Style

API_KEY_HEADER: Final = "X-API-Key"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `request` and `answer` are the wire models; without them the body is not JSON of ours.

    `refusals` are the error codes of PROTOCOL's tables that it can answer with, beside those that every route has;
    `style` says in which field they stand. `takes` is the content type of a request's body that is no JSON.
    `anonymous`: phones call it, and its answers leave on the clock grid.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    refusals: tuple[str, ...] = ()
    api_key: bool = False
    anonymous: bool = False
    style: Style = Style.VERIFICATION
    takes: str = ""
    content_type: str = "application/json"


ROUTES: Final = web.AppKey("routes", list[Route])


def add(app: web.Application, routes: Iterable[Route]) -> None:
    """Serve the routes and remember them for the OpenAPI document."""
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
        if route.method == "GET":
            # As at any static host: a mirror asks for length and date before it fetches.
            app.router.add_route("HEAD", route.path, route.handler)
        app[ROUTES].append(route)
        app[STYLES][route.path] = route.style
        if route.anonymous:
            app[ANONYMOUS].add(route.path)


async def body_of(request: web.Request, content_type: str | None = "application/json") -> bytes:
    """Read a body of one kind, or of any; limits of size and time end the reading, however long the body goes on.

    Raises:
        HTTPUnsupportedMediaType: the request says that its body is something else, or compressed.
        HTTPRequestEntityTooLarge: it is larger than 64 kB, or says so.
        HTTPRequestTimeout: it did not come whole within the time that the operator allows.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if content_type not in {None, request.content_type} or encoding != "identity":
        raise web.HTTPUnsupportedMediaType
    if (declared := request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, declared)
    try:
        # Real time, as every time limit of the network: a slow sender must not hold a connection for hours.
        async with asyncio.timeout(request.app[CONTEXT].settings.upload_wait_seconds):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    finally:
        note_arrival(request)
