"""A device under the command line: run its daemon until a signal, or open it for one look."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device, demand_diary
from forewarn_client.presence import NUDGE
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.service_manager import ServiceManager
from forewarn_client.status import Status, look
from forewarn_client.timing import Timing
from forewarn_shell.clock import Clock

_LOG_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"
"""Without the time: the journal adds it."""


def run_daemon(settings: ClientSettings, clock: Clock, *, say: Callable[[str], None]) -> None:
    """Run the daemon until SIGTERM (returns) or Ctrl-C; `say` gets one line once it works."""
    logging.basicConfig(level=settings.log_level.upper(), format=_LOG_FORMAT)
    timing = Timing.production()
    manager = ServiceManager.of_environment(os.environ)
    daemon = Daemon(settings, clock, choose_radio(settings, clock, timing), timing, manager)
    ready = f"forewarn-client is running: radio {settings.radio}, diary {settings.data}"
    with suppress(asyncio.CancelledError):
        asyncio.run(_work(daemon, lambda: say(ready)))


def read_status(settings: ClientSettings, clock: Clock) -> Status:
    """Open the device for one look.

    Raises:
        Missing: there is no diary yet, or it has moved to another device; looking makes none.
    """
    demand_diary(settings.data)
    return asyncio.run(_look(settings, clock))


async def until_sigterm(work: Awaitable[None]) -> None:
    """Do `work`, and let SIGTERM cancel it: what is open is closed. A second one does not interrupt that."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel_once, task)
    await work


def _cancel_once(task: asyncio.Task[Any]) -> None:
    if not task.cancelling():
        task.cancel()


async def _work(daemon: Daemon, ready: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_signal_handler(NUDGE, daemon.look_again)
    await until_sigterm(daemon.run(ready))


async def _look(settings: ClientSettings, clock: Clock) -> Status:
    async with Device.open(settings, clock) as device:
        return await look(device)
