"""Closes the connections of callers who never finish their first request: each would else stay open for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SilentCallers:
    """Who is connected and has asked nothing yet; what comes after a first request, keep-alive and body limits end.

    Time is the event loop's, real as every time limit of the network. No task waits here: the loop calls back.
    """

    def __init__(self) -> None:
        self._silent_since: dict[RequestHandler, float] = {}
        self._have_asked: set[RequestHandler] = set()
        self._next_look: asyncio.TimerHandle | None = None

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Remember that a connection's caller has asked something: the head of a request has come whole."""
        self._have_asked.add(request.protocol)
        return await handler(request)

    def watch(self, connections: Callable[[], Iterable[RequestHandler]], patience_s: float) -> None:
        """Look at the connections now and then until `stop`; nobody may be silent for longer than `patience_s`."""
        loop = asyncio.get_running_loop()
        open_now = set(connections())
        self._have_asked &= open_now
        self._silent_since = {
            connection: self._silent_since.get(connection, loop.time()) for connection in open_now - self._have_asked
        }
        for connection, since_s in self._silent_since.items():
            if loop.time() - since_s >= patience_s:
                connection.force_close()
        self._next_look = loop.call_later(patience_s / 4, self.watch, connections, patience_s)

    def stop(self) -> None:
        """Look no more."""
        if self._next_look is not None:
            self._next_look.cancel()
