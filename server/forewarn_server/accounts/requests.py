"""Who of the authority's staff a request comes from."""

from aiohttp import web

from forewarn_protocol.verification import refuse
from forewarn_server.accounts.api_keys import Act, Staff, authenticate
from forewarn_server.context import CONTEXT
from forewarn_server.routing import API_KEY_HEADER


async def staff_of(request: web.Request, act: Act) -> Staff:
    """Return who acts, by the API key in the header.

    Raises:
        Refused: unauthorized; there is no key, it is unknown, or its role may not do this.
    """
    key = request.headers.get(API_KEY_HEADER)
    if key is None:
        raise refuse("unauthorized")
    return await authenticate(request.app[CONTEXT], key, act)
