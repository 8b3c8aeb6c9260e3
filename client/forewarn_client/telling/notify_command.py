"""The command `notify`: shows on the desktop of its user what a daemon, perhaps of another user, has to say."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from forewarn_client.config import ClientSettings
from forewarn_client.running import until_sigterm
from forewarn_client.telling.news import Notification, Told
from forewarn_client.telling.state_socket import short_name
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from forewarn_shell.clock import Clock, SystemClock

SERVICE_SOCKET: Final = Path("/run/forewarn/state.sock")
"""Where the daemon of `install-service` tells its state."""
_TOLD_FILE: Final = "forewarn-told.json"
_LINE_BYTES: Final = 1024 * 1024
_BACK_OFF_S: Final = (1.0, 300.0)

Show = Callable[[Notification], Awaitable[None]]

_log = logging.getLogger(__name__)


def notify(
    context: typer.Context,
    path: Annotated[Path | None, typer.Option("--socket", help="The daemon's state_socket.", metavar="PATH")] = None,
) -> None:
    """Show on this desktop what the daemon has to say, until SIGTERM or Ctrl-C."""
    _notify(context.obj(), path)


def _notify(settings: ClientSettings, path: Path | None) -> None:
    try:
        from forewarn_client.telling.desktop import show  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Missing(f"notify needs the module {error.name}: run pip install 'forewarn[client,bluez]'") from error
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    told = Told.read(Path(runtime) / _TOLD_FILE if runtime else None)
    where = path or settings.state_socket or SERVICE_SOCKET
    with suppress(asyncio.CancelledError):
        asyncio.run(until_sigterm(keep_showing(where, told, settings.language, show, SystemClock())))


async def keep_showing(path: Path, told: Told, language: Language, show: Show, clock: Clock) -> None:
    """Show what is news, for ever, whatever of the daemon and the desktop comes and goes meanwhile."""
    wait_s, most_s = _BACK_OFF_S
    said = ""
    kept = replace(told)
    while True:
        try:
            async for state in _states_of(path):
                for notification in told.news_in(state, language):
                    await show(notification)
                told.keep()
                kept = replace(told)
                wait_s, said = _BACK_OFF_S[0], ""
        except ForewarnError as error:
            if error.message != said:  # a machine without a daemon must not fill the journal
                _log.warning("%s; trying again", said := error.message)
            told = replace(kept)  # what could not be shown was not
        await clock.sleep_until(clock.monotonic() + wait_s)
        wait_s = min(2 * wait_s, most_s)


async def _states_of(path: Path) -> AsyncIterator[dict[str, Any]]:
    """Yield each state that the daemon tells, until it ends."""
    try:
        with short_name(path) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=_LINE_BYTES)
    except OSError as error:
        raise Missing(
            f"no daemon tells its state on {path} ({error.strerror}): is it running, and is this user in its group?"
        ) from error
    try:
        while line := await reader.readline():
            state = json.loads(line)
            if not isinstance(state, dict):
                raise BadInput("the daemon tells its state in another form: update Forewarn here and there")
            yield state
    except (ValueError, RecursionError) as error:  # a line over the limit, too
        raise BadInput(f"what is told on {path} is no state: check who owns it") from error
    except OSError as error:
        raise Missing(f"the daemon on {path} ended ({error.strerror})") from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
