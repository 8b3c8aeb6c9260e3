"""The background work of retention: forgetting at the start, daily, and in each hour in which something is due."""

from typing import Final

from aiohttp import web

from forewarn_server.context import Context
from forewarn_server.hours import DAY_S, full_hours
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger
from forewarn_server.retention.forgetting import forget, is_due
from forewarn_server.retention.overdue import Overdue

_log: Final = logger()


def add_jobs(app: web.Application) -> None:
    """Forget in time, and tell the metrics how far behind that is."""
    app[JOBS].append(Job("forget", _Forgetting().run))


class _Forgetting:
    """The job. How long it has been behind outlives a fault that starts it again."""

    def __init__(self) -> None:
        self._overdue: Overdue | None = None

    async def run(self, context: Context) -> None:
        if self._overdue is None:
            self._overdue = Overdue(context.clock)
            context.metrics.forgetting_overdue_seconds.set_function(self._overdue.seconds)
        try:
            await _forget_in_time(context, self._overdue)
        except Exception:
            self._overdue.failed()
            raise


async def _forget_in_time(context: Context, overdue: Overdue) -> None:
    whole_day = -1
    async for hour_s in full_hours(context.clock):
        # Once a day whatever seems due, for what a crash left half done. By the day of the clock and not by a count of
        # hours: a clock that was set, or a reader that was in the way, costs an hour and not a day.
        if hour_s // DAY_S == whole_day and not await is_due(context):
            continue
        forgotten = await forget(context)
        if (ahead_s := context.now_s() - context.reached_s()) > 0:
            overdue.failed()
            whole_day = -1
            _log.error(
                "forgetting waits: the clock ran ahead of what is on record; if it is right, run forget-now",
                reason=f"{ahead_s / DAY_S:.0f} days",
            )
        elif forgotten.overwritten:
            overdue.finished()
            whole_day = hour_s // DAY_S
        else:
            overdue.failed()
            whole_day = -1
            _log.warning("forgetting overdue: a long read keeps deleted rows on disk; tried again in an hour")
