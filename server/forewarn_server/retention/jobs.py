"""The background work of retention: forgetting once a day, and at the start."""

from typing import Final

from aiohttp import web

from forewarn_server.context import Context
from forewarn_server.hours import full_hours
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger
from forewarn_server.retention.forgetting import DAY_S, forget

_log: Final = logger()


def add_jobs(app: web.Application) -> None:
    """Forget daily."""
    app[JOBS].append(Job("forget", _forget_daily))


async def _forget_daily(context: Context) -> None:
    forgotten_day = -1
    async for hour_s in full_hours(context.clock):
        # By the day of the clock and not by a count of hours: a clock that was set, or a reader that was in the way,
        # costs an hour and not a day.
        if hour_s // DAY_S == forgotten_day:
            continue
        forgotten = await forget(context)
        if forgotten.overwritten:
            forgotten_day = hour_s // DAY_S
        else:
            _log.warning("forgetting overdue: a long read keeps deleted rows on disk; tried again in an hour")
