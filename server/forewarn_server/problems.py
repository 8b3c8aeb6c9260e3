"""The one place where errors become API answers: a status, a code of PROTOCOL's tables, a sentence, padding."""

import json
import secrets
import traceback
from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from forewarn_protocol.errors import ForewarnError, Missing, NotVerified, Refused

ANSWER_BYTES: Final = 2_048
"""Every JSON answer of the anonymous zone has this size or, if it cannot, a multiple of it."""

_log: Final = structlog.get_logger()


class Style(Enum):
    """Which field carries the machine's word for an error: verification and publish differ on the wire."""

    VERIFICATION = "errorCode"
    PUBLISH = "code"


STYLES: Final = web.AppKey("styles", dict[str, Style])
"""The style of each path; every other path has VERIFICATION."""


class HttpRefusal(Refused):
    """A refusal whose HTTP status is not found in the tables of codes."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message, code)
        self.status = status


def answer(body: dict[str, Any], status: int = 200) -> web.Response:
    """Make a JSON answer, padded to a constant size: neither an eavesdropper nor a proxy tells answers apart."""
    unpadded = len(json.dumps({**body, "padding": ""}, separators=(",", ":")))
    size = -(-unpadded // ANSWER_BYTES) * ANSWER_BYTES
    padding = secrets.token_urlsafe(size)[: size - unpadded]
    text = json.dumps({**body, "padding": padding}, separators=(",", ":"))
    # The empty reason keeps the status line of every answer the same length.
    return web.Response(text=text, status=status, reason="", content_type="application/json")


def problem(style: Style, status: int, code: str, sentence: str) -> web.Response:
    """Make the API's error answer."""
    return answer({"error": sentence, style.value: code}, status)


@web.middleware
async def problems_become_answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error with the API's JSON; log what is our fault without a word of the request."""
    style = request.app[STYLES].get(request.path, Style.VERIFICATION)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _http_problem(style, error)
    except ForewarnError as error:
        status, code = _status_and_code(style, error)
        return problem(style, status, code, error.message)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the caller gets JSON and we a log line
        _log.error("internal error", error=type(error).__name__, where=_where(error))
        return problem(style, 500, _INTERNAL[style], "the server failed: try again later")


_INTERNAL: Final = {Style.VERIFICATION: "internal_server_error", Style.PUBLISH: "internal_error"}
_MALFORMED: Final = {Style.VERIFICATION: "unparsable_request", Style.PUBLISH: "bad_request"}

# What the HTTP layer itself refuses: status → code and sentence. Everything else is malformed.
_HTTP: Final = {
    404: ("not_found", "there is nothing at this address: /openapi.json lists what is"),
    405: ("method_not_allowed", "this address takes another method: see /openapi.json"),
    413: ("request_too_large", "the body is larger than 64 kB"),
}


def _http_problem(style: Style, error: web.HTTPException) -> web.Response:
    code, sentence = _HTTP.get(error.status, (_MALFORMED[style], "the request is malformed: see /openapi.json"))
    response = problem(style, error.status, _MALFORMED[style] if style is Style.PUBLISH else code, sentence)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _status_and_code(style: Style, error: ForewarnError) -> tuple[int, str]:
    if isinstance(error, HttpRefusal):
        return error.status, error.code
    if isinstance(error, Refused):
        return _REFUSED[style].get(error.code, 400), error.code
    if isinstance(error, Missing | NotVerified):
        return 500, _INTERNAL[style]
    return 400, _MALFORMED[style]


_REFUSED: Final[dict[Style, dict[str, int]]] = {Style.VERIFICATION: {}, Style.PUBLISH: {}}


def _where(error: BaseException) -> list[str]:
    # Places, never the message: a database or JSON error quotes what it failed on.
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-5:]]
