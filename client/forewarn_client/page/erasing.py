"""Erasing everything, after one more question: by the daemon where one works, else here."""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web

from forewarn_client import erasing, starting_over
from forewarn_client.page.rendering import CLOCK, SETTINGS, into, keys, page, to
from forewarn_client.presence import is_running

_WAIT_S: Final = 20.0
"""Real seconds in which a daemon closes its radio and deletes its files."""
_LOOK_EACH_S: Final = 0.1


async def ask(request: web.Request) -> web.StreamResponse:
    """Ask once more."""
    return page(request, "erase.html", runs=is_running(request.app[SETTINGS].data), unsure=False)


async def erase(request: web.Request) -> web.StreamResponse:
    """Erase, and go on in a new session: what proved the old one is gone, too."""
    form, data = await request.post(), request.app[SETTINGS].data
    runs = is_running(data)
    if form.get("sure") != "yes":
        return page(request, "erase.html", HTTPStatus.UNPROCESSABLE_ENTITY, runs=runs, unsure=True)
    if not runs:
        await asyncio.to_thread(erasing.erase, data)
    else:
        starting_over.ask(data, then_paused=form.get("then") == "off")
        try:
            async with asyncio.timeout(_WAIT_S):
                # A daemon that has died meanwhile begins with it at its next start.
                while starting_over.is_asked(data):  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(_LOOK_EACH_S)
        except TimeoutError:
            raise to(request, "erased") from None
    raise into(keys(request).begin(request.app[CLOCK].utc()), "erased")


async def done(request: web.Request) -> web.StreamResponse:
    """Say that it is done, or that it will be."""
    return page(request, "erased.html", waits=starting_over.is_asked(request.app[SETTINGS].data))
