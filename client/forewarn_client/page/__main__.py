"""The page's process: the daemon starts it when somebody asks for the page, and hands it socket and settings."""

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.page.serving import serve
from forewarn_shell.clock import SystemClock

_IDLE_S: Final = 300.0
_MAX_SETTINGS_BYTES: Final = 64 * 1024


async def main(descriptor: int) -> None:
    """Serve on an inherited socket until nobody looks any more, or the daemon has ended."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_MAX_SETTINGS_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = ClientSettings.model_validate_json(await reader.readline())
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s page %(name)s: %(message)s")
    serving = asyncio.create_task(serve(settings, SystemClock(), socket.socket(fileno=descriptor), idle_s=_IDLE_S))
    daemon_ends = asyncio.create_task(reader.read())  # the other end of the pipe is the daemon's
    await asyncio.wait({serving, daemon_ends}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    daemon_ends.cancel()
    with suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
