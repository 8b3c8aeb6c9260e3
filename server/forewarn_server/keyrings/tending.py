"""What the server does with its keys by itself: a code-hash key each UTC day, an end to those that are over."""

import asyncio
from typing import Final

from aiohttp import web

from forewarn_server.context import CONTEXT, Context
from forewarn_server.hours import DAY_S, full_hours
from forewarn_server.jobs import JOBS, Job
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.policies import POLICIES
from forewarn_server.logs import logger

_log: Final = logger()


def add_jobs(app: web.Application) -> None:
    """Tend the keys at start-up, before the first code is issued, and at each full hour."""

    async def at_start(app: web.Application) -> None:
        await tend_keys(app[CONTEXT])

    app.on_startup.append(at_start)
    app[JOBS].append(Job("keys", _tend_hourly))


async def tend_keys(context: Context) -> None:
    """Change the keys that change daily, and destroy those whose time is over."""
    # In a thread: it waits for a command that changes keys at this moment, and for the disk.
    changed = await asyncio.to_thread(_tend, context.keys.folder, min(context.now_s(), context.reached_s()))
    if changed:
        _log.info("keys tended", count=changed)


async def _tend_hourly(context: Context) -> None:
    async for _ in full_hours(context.clock):
        await tend_keys(context)


def _tend(folder: KeyFolder, now_s: int) -> int:
    changed = 0
    for policy in POLICIES.values():
        # The youngest, which is not yet active where the clock was set back.
        if policy.daily and folder.schedule(policy).generations[-1].active_s // DAY_S < now_s // DAY_S:
            folder.rotate(policy, now_s, 0)
            changed += 1
        changed += folder.destroy_ended(policy, now_s)
    return changed
