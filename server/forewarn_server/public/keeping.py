"""Keeps a feed fresh: issued before the first request, and hourly from then on."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from forewarn_protocol.errors import BadFeed
from forewarn_server.context import CONTEXT, Context
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger
from forewarn_server.public.hours import full_hours
from forewarn_server.public.turn import publishing_turn

Issue = Callable[[Context], Awaitable[None]]
"""Writes and signs one feed; called in the publishing turn."""

_log: Final = logger()


def keep_issued(app: web.Application, name: str, issue: Issue) -> None:
    """Issue a feed at start-up, where an operator's faulty file stops the server, and at each hour, where it does not.

    In the hours the last good feed stays served until it expires, and devices warn from then on.
    """

    async def issue_now(context: Context) -> None:
        async with publishing_turn(context.settings.data):
            await issue(context)

    async def issue_at_start(app: web.Application) -> None:
        await issue_now(app[CONTEXT])

    async def issue_hourly(context: Context) -> None:
        async for _ in full_hours(context.clock):
            try:
                await issue_now(context)
            except BadFeed as error:
                _log.error("feed not issued", feed=name, reason=error.message)

    app.on_startup.append(issue_at_start)
    app[JOBS].append(Job(name, issue_hourly))
