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


class PageHost:
    """The page's address and its process, which outlive the diary: who erases it is answered by that process."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._listener: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def offer(self) -> AsyncGenerator[None, None]:
        """Offer the page for ever, yielding when the address is held, and whenever a page's process has ended well.

        Raises:
            Missing: the address can't be had, or the page's process fails.
        """
        if self._listener is None:
            self._listener = listen(self._settings)
        while True:
            yield
            if self._process is None:
                await _until_asked(self._listener)
                self._process = await self._start(self._listener)
            code = await self._process.wait()
            self._process = None
            if code:
                raise Missing("the page's process failed: the log says why (is forewarn[client] installed whole?)")

    async def close(self) -> None:
        """End the page's process and let the address go; harmless when repeated."""
        process, self._process = self._process, None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if process is not None:
            await _end(process)

    async def _start(self, listener: socket.socket) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "forewarn_client.page", str(listener.fileno())),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(listener.fileno(),),
        )
        assert process.stdin is not None  # noqa: S101 - a pipe, as asked for above
        # It stays open: when the daemon ends, however it ends, the page's process reads its end.
        process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        return process


async def _until_asked(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(listener, asked.set)
    try:
        await asked.wait()
    finally:
        loop.remove_reader(listener)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_WAIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
