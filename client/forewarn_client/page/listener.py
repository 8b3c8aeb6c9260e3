"""The daemon's part in the page: it holds the address open, and starts the page's process when somebody asks.

The page needs templates and a web server, the daemon neither. A page that hangs, grows or dies is another process.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.page.address import listen
from forewarn_protocol.errors import Missing

_END_WAIT_S: Final = 5.0
"""Real seconds for a process that is asked to end."""


async def offer_page(settings: ClientSettings) -> AsyncGenerator[None, None]:
    """Offer the page for ever, yielding when the address is held, and whenever a page's process has ended well.

    Raises:
        Missing: the address can't be had, or the page's process fails.
    """
    with listen(settings) as listener:
        while True:
            yield
            await _until_asked(listener)
            await _serve_in_a_process(settings, listener)


async def _until_asked(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(listener, asked.set)
    try:
        await asked.wait()
    finally:
        loop.remove_reader(listener)


async def _serve_in_a_process(settings: ClientSettings, listener: socket.socket) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forewarn_client.page", str(listener.fileno())),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=(listener.fileno(),),
    )
    assert process.stdin is not None  # noqa: S101 - a pipe, as asked for above
    try:
        # It stays open: when the daemon ends, however it ends, the page's process reads its end.
        process.stdin.write(settings.model_dump_json().encode() + b"\n")
        if await process.wait():
            raise Missing("the page's process failed: the log says why (is forewarn[client] installed whole?)")
    finally:
        process.stdin.close()
        await asyncio.shield(_ended(process))


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_WAIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
