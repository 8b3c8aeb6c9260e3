"""The page's web application: its checks and its routes on one screen."""

from collections import deque
from collections.abc import Collection
from importlib.resources import files
from typing import Final

from aiohttp import web

from forewarn_client.config import ClientSettings
from forewarn_client.page import erasing, home, reporting
from forewarn_client.page.guard import (
    HOSTS,
    MAX_BODY_BYTES,
    WRONG_TRIES,
    WRONG_TRIES_PER_MINUTE,
    add_headers,
    demand_few_tries,
    only_the_person,
)
from forewarn_client.page.rendering import CLOCK, SETTINGS, into, keys
from forewarn_shell.clock import Clock

_STYLE: Final = files("forewarn_client.page") / "page.css"


def create_app(settings: ClientSettings, clock: Clock, hosts: Collection[str]) -> web.Application:
    """Make the application of one device; `hosts` are the names, with port, by which it may be asked."""
    app = web.Application(middlewares=[only_the_person], client_max_size=MAX_BODY_BYTES)
    app[SETTINGS], app[CLOCK], app[HOSTS] = settings, clock, frozenset(hosts)
    app[WRONG_TRIES] = deque(maxlen=WRONG_TRIES_PER_MINUTE)
    app.on_response_prepare.append(add_headers)
    app.add_routes(
        [
            web.get("/open/{token}", _open),
            web.get("/page.css", _style),
            web.get("/{room}/", home.show),
            web.post("/{room}/pause", home.pause),
            web.post("/{room}/resume", home.resume),
            web.get("/{room}/code", reporting.ask_code),
            web.post("/{room}/code", reporting.take_code),
            web.get("/{room}/code/{outcome}", reporting.show_outcome),
            web.get("/{room}/erase", erasing.ask),
            web.post("/{room}/erase", erasing.erase),
            web.get("/{room}/erased", erasing.done),
        ]
    )
    return app


async def _open(request: web.Request) -> web.StreamResponse:
    """Trade the link for a session, and leave nothing of the link in the address bar."""
    demand_few_tries(request)
    proof, clock = keys(request), request.app[CLOCK]
    if not proof.opens(request.match_info["token"]):
        request.app[WRONG_TRIES].append(clock.monotonic())
        raise web.HTTPForbidden
    raise into(proof.begin(clock.utc()))


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=_STYLE.read_text("utf-8"), content_type="text/css")
