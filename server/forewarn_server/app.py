"""The web application: middleware, features and background jobs on one screen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from aiohttp import web

from forewarn_protocol.wire import MAX_BODY_BYTES
from forewarn_server import openapi
from forewarn_server.codes.routes import add_routes as add_codes
from forewarn_server.config import ServerSettings
from forewarn_server.context import CONTEXT, open_context
from forewarn_server.jobs import JOBS, SUPERVISOR, start
from forewarn_server.problems import STYLES, problems_become_answers
from forewarn_server.routing import ROUTES
from forewarn_shell.clock import Clock

# Each registers its routes with `routing.add` and its background work with `app[JOBS].append`.
_FEATURES: Final = (openapi.add_routes, add_codes)

_SETTINGS: Final = web.AppKey("settings", ServerSettings)
_CLOCK: Final = web.AppKey("clock", Clock)


def create_app(settings: ServerSettings, clock: Clock) -> web.Application:
    """Make the application of one server; the data folder is opened at start-up and closed at clean-up."""
    app = web.Application(middlewares=[problems_become_answers], client_max_size=MAX_BODY_BYTES)
    app[_SETTINGS], app[_CLOCK] = settings, clock
    app[ROUTES], app[JOBS], app[STYLES] = [], [], {}
    for add_feature in _FEATURES:
        add_feature(app)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.extend((_open, _work))
    return app


async def _open(app: web.Application) -> AsyncIterator[None]:
    async with open_context(app[_SETTINGS], app[_CLOCK]) as context:
        app[CONTEXT] = context
        yield


async def _work(app: web.Application) -> AsyncIterator[None]:
    app[SUPERVISOR] = supervisor = start(app)
    yield
    supervisor.cancel()
    with suppress(asyncio.CancelledError):
        await supervisor


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    # Devices compare their clock with this one, so it is the injected clock's time, not the library's.
    response.headers["Date"] = formatdate(request.config_dict[CONTEXT].clock.utc(), usegmt=True)
    response.headers["Server"] = "forewarn"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
