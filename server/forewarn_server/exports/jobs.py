"""The background work of exports: sealing at the start and at each full hour."""

from typing import Final

from aiohttp import web

from forewarn_server.context import CONTEXT, Context
from forewarn_server.exports.sealing import recover, seal
from forewarn_server.jobs import JOBS, Job
from forewarn_server.logs import logger
from forewarn_server.public.hours import full_hours

_log: Final = logger()


def add_jobs(app: web.Application) -> None:
    """Put the index in order before the first request; seal from then on."""
    app.on_startup.append(_recover)
    app[JOBS].append(Job("seal", _seal_hourly))


async def _recover(app: web.Application) -> None:
    await recover(app[CONTEXT])


async def _seal_hourly(context: Context) -> None:
    async for _ in full_hours(context.clock):  # the first at once: a restart, or a disk that was full, loses no hour
        sealed = await seal(context)
        _log.info("sealed", files=sealed.files, keys=sealed.keys)
