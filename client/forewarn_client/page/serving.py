"""Serves the page while somebody looks at it, in a process that is not the daemon's."""

import asyncio
import socket
from typing import Final

from aiohttp import web

from forewarn_client.config import ClientSettings
from forewarn_client.page.address import names
from forewarn_client.page.app import create_app
from forewarn_shell.clock import Clock

_KEEP_ALIVE_S: Final = 15.0


async def serve(settings: ClientSettings, clock: Clock, listener: socket.socket, *, idle_s: float) -> None:
    """Serve until nobody has asked for anything for `idle_s` real seconds; the socket is closed then."""
    app = create_app(settings, clock, names(listener))
    loop = asyncio.get_running_loop()
    last_s = loop.time()

    async def note(_request: web.Request, _response: web.StreamResponse) -> None:
        nonlocal last_s
        last_s = loop.time()

    app.on_response_prepare.append(note)
    # No access log: addresses hold the link and the room.
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        # The deadline moves with each answer, so there is nothing to wait for but the time.
        while (left_s := last_s + idle_s - loop.time()) > 0:  # noqa: ASYNC110 - as said above
            await asyncio.sleep(left_s)
    finally:
        await runner.cleanup()
