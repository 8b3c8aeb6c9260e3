"""Keeps what is signed fresh: issued before the first request, and at each full hour from then on."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from forewarn_protocol.errors import BadInput
from forewarn_server.context import CONTEXT, Context
from forewarn_server.hours import full_hours, hour_of
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger

_log: Final = logger()


def keep_issued(app: web.Application, name: str, issue: Callable[[Context], Awaitable[object]]) -> None:
    """Issue a feed at start-up, where an operator's faulty file stops the server, and at each hour, where it does not.

    In the hours the last good feed stays served until it expires, and devices warn from then on.
    """
    # Not the feed's own time of issue: forgetting signs the index too, and the hour's seal would be taken for done.
    issued_hour_s = -1

    async def issue_in(context: Context, hour_s: int) -> None:
        nonlocal issued_hour_s
        await issue(context)
        issued_hour_s = hour_s

    async def at_start(app: web.Application) -> None:
        await issue_in(app[CONTEXT], hour_of(app[CONTEXT].clock.utc()))

    async def hourly(context: Context) -> None:
        # The running hour comes first: after a fault the job starts again, and may find its hour not done.
        async for hour_s in full_hours(context.clock):
            if hour_s == issued_hour_s:
                continue
            try:
                await issue_in(context, hour_s)
            except BadInput as error:
                _log.error("feed not issued", feed=name, reason=error.message)

    app.on_startup.append(at_start)
    app[JOBS].append(Job(name, hourly))
