"""`POST /v1/daily`: bytes of one size from every device, answered with as many.

What they hold is not looked at yet. The answer is random, so that no proxy can compress it to another size.
"""

import secrets
from typing import Final

from aiohttp import web

from forewarn_protocol.cover import DAILY_BYTES
from forewarn_protocol.errors import BadMessage
from forewarn_server.routing import Route, add, body_of

_BYTES: Final = "application/octet-stream"


def add_routes(app: web.Application) -> None:
    """Serve the daily message."""
    summary = f"The daily message of a device: exactly {DAILY_BYTES} bytes, answered with as many."
    route = Route("POST", "/v1/daily", _daily, summary, takes=_BYTES, anonymous=True, content_type=_BYTES)
    add(app, (route,))


async def _daily(request: web.Request) -> web.Response:
    # Nothing but the size is looked at: what a device says of the kind of its bytes is as little as the bytes.
    body = await body_of(request, content_type=None)
    if len(body) != DAILY_BYTES:
        raise BadMessage(f"a daily message has {len(body)} bytes: send exactly {DAILY_BYTES}")
    return web.Response(body=secrets.token_bytes(DAILY_BYTES), reason="", content_type=_BYTES)
