"""Who is answered: nobody but the person's own browser, on this page's own address, by this page's own forms.

A request passes every check below, in this order. Another web page in the person's browser fails at the first ones, a
program of another user of the machine at the last.
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from forewarn_client.page.rendering import CLOCK, FORM_FIELD, SESSION, SESSION_COOKIE, keys, page
from forewarn_client.page.texts import as_sentence
from forewarn_protocol.errors import ForewarnError

MAX_BODY_BYTES: Final = 8 * 1024
BODY_WAIT_S: Final = 10.0
"""Real seconds: a limit of the network."""
WRONG_TRIES_PER_MINUTE: Final = 20
HOSTS: Final = web.AppKey("hosts", frozenset[str])
WRONG_TRIES: Final = web.AppKey("wrong_tries", deque[float])

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers would then send "Origin: null" with this page's own forms.
    "Referrer-Policy": "same-origin",
    "Server": "forewarn",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@web.middleware
async def only_the_person(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through that passes every check; say of every other what the person can do."""
    try:
        demand_own_host(request)
        demand_own_page(request)
        if "room" in request.match_info:
            demand_session(request)
        if request.method == "POST":
            await demand_own_form(request)
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < HTTPStatus.BAD_REQUEST:
            raise
        return refused(request, HTTPStatus(refusal.status))
    except ForewarnError as error:
        return page(
            request, "refused.html", HTTPStatus.SERVICE_UNAVAILABLE, name="500", detail=as_sentence(error.message)
        )


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Close an answer to frames, scripts, caches and other pages."""
    for name, value in _HEADERS.items():
        if name not in response.headers or name == "Server":
            response.headers[name] = value


def demand_own_host(request: web.Request) -> None:
    """Refuse a name that is not this page's: a stranger's name may be made to lead to this machine (DNS rebinding)."""
    if request.host.lower() not in request.app[HOSTS]:
        raise web.HTTPMisdirectedRequest


def demand_own_page(request: web.Request) -> None:
    """Refuse what another page started, be it on another port of this machine."""
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise web.HTTPForbidden
    if request.method != "POST":
        return
    origin = request.headers.get("Origin")
    if origin is None:
        # Only a program leaves both away. A browser that is too old for one sends the other.
        is_own = request.headers.get("Sec-Fetch-Site") == "same-origin"
    else:
        is_own = origin.lower() == f"http://{request.host.lower()}"
    if not is_own:
        raise web.HTTPForbidden


def demand_session(request: web.Request) -> None:
    """Refuse a browser that did not come with the link."""
    cookie, now_s = request.cookies.get(SESSION_COOKIE, ""), request.app[CLOCK].utc()
    session = keys(request).session(request.match_info["room"], cookie, now_s)
    if session is None:
        raise web.HTTPForbidden
    request[SESSION] = session


async def demand_own_form(request: web.Request) -> None:
    """Refuse a form that is not one of this session's, or larger or slower than any of them."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPBadRequest
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            form = await request.post()
    except (TimeoutError, ValueError) as error:
        raise web.HTTPBadRequest from error
    if SESSION not in request or not keys(request).is_form_token(request[SESSION], str(form.get(FORM_FIELD, ""))):
        raise web.HTTPForbidden


def demand_few_tries(request: web.Request) -> None:
    """Refuse to try another link while too many were wrong within the last minute."""
    tries, now_s = request.app[WRONG_TRIES], request.app[CLOCK].monotonic()
    while tries and tries[0] <= now_s - 60:
        tries.popleft()
    if len(tries) >= WRONG_TRIES_PER_MINUTE:
        raise web.HTTPTooManyRequests


def refused(request: web.Request, status: HTTPStatus) -> web.StreamResponse:
    """Say that something was refused, and nothing about why it might have been let through."""
    if status is HTTPStatus.MISDIRECTED_REQUEST:
        return web.Response(text="", status=status)
    known = {HTTPStatus.NOT_FOUND: "404", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "413"}
    known |= {HTTPStatus.FORBIDDEN: "403", HTTPStatus.TOO_MANY_REQUESTS: "429"}
    return page(request, "refused.html", status, name=known.get(status, "400"), detail=None)
