"""Background jobs: one owner, a name each, restarted after a fault, stopped only by cancellation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy.exc import DBAPIError

from forewarn_protocol.errors import ForewarnError
from forewarn_server.context import CONTEXT, Context
from forewarn_server.logs import logger

_RESTART_S: Final = 60.0
_log: Final = logger()


@dataclass(frozen=True, slots=True)
class Job:
    """Work that goes on as long as the server runs; it sleeps only on the context's clock."""

    name: str
    run: Callable[[Context], Awaitable[None]]


JOBS: Final = web.AppKey("jobs", list[Job])
SUPERVISOR: Final = web.AppKey("supervisor", asyncio.Task[None])


async def start(app: web.Application) -> None:
    """Start every registered job under one task, which ends only by cancellation or with a programming error."""
    app[SUPERVISOR] = asyncio.create_task(_supervise(app[JOBS], app[CONTEXT]), name="background jobs")


async def stop(app: web.Application) -> None:
    """Cancel the jobs and wait until they are gone; what failed is raised by `serving`, after all is closed."""
    app[SUPERVISOR].cancel()
    await asyncio.wait((app[SUPERVISOR],))


async def _supervise(jobs: list[Job], context: Context) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_keep_running(job, context), name=job.name)


async def _keep_running(job: Job, context: Context) -> None:
    while True:
        try:
            await job.run(context)
        except (ForewarnError, OSError, DBAPIError) as error:
            # A full disk or a busy database heals; anything else is a defect and must end the server.
            reason = error.message if isinstance(error, ForewarnError) else type(error).__name__
            _log.error("job failed, starts again", job=job.name, reason=reason, wait_s=_RESTART_S)
            await context.clock.sleep_until(context.clock.monotonic() + _RESTART_S)
        else:
            return
