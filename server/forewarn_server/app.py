"""The web application: middleware, features and background jobs on one screen."""

from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Final

from aiohttp import web

from forewarn_protocol.wire import MAX_BODY_BYTES
from forewarn_server import jobs, openapi
from forewarn_server.advice.issuing import add_jobs as add_advice
from forewarn_server.clock_grid import ANONYMOUS, GRID, ClockGrid, phones_are_answered_on_the_grid
from forewarn_server.codes.routes import add_routes as add_codes
from forewarn_server.config import ServerSettings
from forewarn_server.configuration.issuing import add_jobs as add_configuration
from forewarn_server.context import CONTEXT, open_context
from forewarn_server.daily.routes import add_routes as add_daily
from forewarn_server.exports.sealing import add_jobs as add_exports
from forewarn_server.jobs import JOBS
from forewarn_server.keyrings.tending import add_jobs as add_keys
from forewarn_server.problems import STYLES, problems_become_answers
from forewarn_server.public.routes import add_routes as add_public
from forewarn_server.publish.routes import add_routes as add_publish
from forewarn_server.retention.jobs import add_jobs as add_retention
from forewarn_server.routing import ROUTES
from forewarn_server.serving import telling
from forewarn_server.uploads.routes import add_routes as add_uploads
from forewarn_shell.clock import Clock

# Each registers its routes with `routing.add` and its background work with `app[JOBS].append`.
_FEATURES: Final = (
    openapi.add_routes,
    add_keys,
    add_codes,
    add_publish,
    add_uploads,
    add_daily,
    add_exports,
    add_configuration,
    add_advice,
    add_public,
    add_retention,
)

_SETTINGS: Final = web.AppKey("settings", ServerSettings)
_CLOCK: Final = web.AppKey("clock", Clock)


def create_app(settings: ServerSettings, clock: Clock) -> web.Application:
    """Make the application of one server; the data folder is opened at start-up and closed at clean-up."""
    app = web.Application(
        middlewares=[phones_are_answered_on_the_grid, problems_become_answers], client_max_size=MAX_BODY_BYTES
    )
    app[_SETTINGS], app[_CLOCK] = settings, clock
    app[ROUTES], app[JOBS], app[STYLES] = [], [], {}
    app[ANONYMOUS], app[GRID] = set(), ClockGrid(settings.answer_grid_ms / 1000)
    app.cleanup_ctx.extend((_open, _tell_metrics))
    for add_feature in _FEATURES:
        add_feature(app)
    # Last, after what the features do at start-up; and ended first, while the databases are still open.
    app.on_startup.append(jobs.start)
    app.on_shutdown.append(jobs.stop)
    app.on_response_prepare.append(_add_headers)
    return app


async def _open(app: web.Application) -> AsyncIterator[None]:
    async with open_context(app[_SETTINGS], app[_CLOCK]) as context:
        app[CONTEXT] = context
        yield


async def _tell_metrics(app: web.Application) -> AsyncIterator[None]:
    if not (port := app[_SETTINGS].metrics_port):
        yield
        return
    async with telling(app[CONTEXT].metrics, port):
        yield


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    # Devices compare their clock with this one, so it is the injected clock's time, not the library's.
    response.headers["Date"] = formatdate(request.config_dict[CONTEXT].clock.utc(), usegmt=True)
    response.headers["Server"] = "forewarn"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
