"""`POST /api/upload`, as the wire knows it: the bytes of a sealed upload, from the authority's staff."""

from typing import Final

from aiohttp import web

from forewarn_protocol.sealed_uploads import UploadAnswer
from forewarn_server.accounts.api_keys import Act
from forewarn_server.accounts.requests import staff_of
from forewarn_server.context import CONTEXT
from forewarn_server.problems import answer
from forewarn_server.routing import Route, add, body_of
from forewarn_server.uploads.passing import pass_on

_TYPE: Final = "application/octet-stream"
_REFUSALS: Final = ("upload_invalid", "upload_expired", "upload_refused", "token_invalid", "token_expired")


def add_routes(app: web.Application) -> None:
    """Serve the passing on of sealed uploads."""
    route = Route(
        "POST",
        "/api/upload",
        _upload,
        "Pass on a file of `keys export`, unopened.",
        answer=UploadAnswer,
        refusals=_REFUSALS,
        api_key=True,
        takes=_TYPE,
    )
    add(app, (route,))


async def _upload(request: web.Request) -> web.Response:
    staff = await staff_of(request, Act.UPLOAD)
    return answer(await pass_on(request.app[CONTEXT], staff, await body_of(request, _TYPE)))
