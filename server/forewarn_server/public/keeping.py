"""Keeps what is signed fresh: issued before the first request, and at each full hour from then on."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from sqlalchemy import select

from forewarn_protocol.errors import BadInput
from forewarn_server.context import CONTEXT, Context
from forewarn_server.hours import full_hours
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger
from forewarn_server.store.exposure_tables import feeds

_log: Final = logger()


def keep_issued(
    app: web.Application,
    name: str,
    issue: Callable[[Context], Awaitable[object]],
    path_of: Callable[[str], str],
) -> None:
    """Issue a feed at start-up, where an operator's faulty file stops the server, and at each hour, where it does not.

    In the hours the last good feed stays served until it expires, and devices warn from then on. `path_of` gives the
    feed's URL path for a region.
    """

    async def at_start(app: web.Application) -> None:
        await issue(app[CONTEXT])

    async def hourly(context: Context) -> None:
        # The running hour comes first: after a fault the job starts again, and may find its hour not done.
        async for hour_s in full_hours(context.clock):
            if await _issued_s(context, path_of(context.settings.region)) >= hour_s:
                continue
            try:
                await issue(context)
            except BadInput as error:
                _log.error("feed not issued", feed=name, reason=error.message)

    app.on_startup.append(at_start)
    app[JOBS].append(Job(name, hourly))


async def _issued_s(context: Context, url_path: str) -> int:
    async with context.exposure.reading() as connection:
        return await connection.scalar(select(feeds.c.issued_s).where(feeds.c.path == url_path)) or 0
