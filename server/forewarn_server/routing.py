"""The route table: what each feature serves, in the form from which both the router and OpenAPI are made."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from forewarn_server.problems import STYLES, Style

API_KEY_HEADER: Final = "X-API-Key"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `request` and `answer` are the wire models; without them the body is not JSON of ours.

    `refusals` are the error codes of PROTOCOL's tables that it can answer with, beside those that every route has;
    `style` says in which field they stand.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    refusals: tuple[str, ...] = ()
    api_key: bool = False
    style: Style = Style.VERIFICATION
    content_type: str = "application/json"


ROUTES: Final = web.AppKey("routes", list[Route])


def add(app: web.Application, routes: Iterable[Route]) -> None:
    """Serve the routes and remember them for the OpenAPI document."""
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
        app[ROUTES].append(route)
        app[STYLES][route.path] = route.style


async def body_of(request: web.Request) -> bytes:
    """Read a JSON body; the application's limit ends the reading, however long the body goes on.

    Raises:
        HTTPUnsupportedMediaType: the request says that its body is something else than plain JSON.
    """
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise web.HTTPUnsupportedMediaType
    return await request.read()
