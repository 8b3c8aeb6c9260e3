"""The one place where errors become API answers: a status, a code of PROTOCOL's tables, a sentence, padding."""

import secrets
import traceback
from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web

from forewarn_protocol.errors import BadInput, Refused
from forewarn_protocol.publishing import PUBLISH_ERRORS, PublishAnswer
from forewarn_protocol.verification import VERIFICATION_ERRORS, ErrorAnswer
from forewarn_protocol.wire import MIN_PADDING_CHARACTERS, WireModel
from forewarn_server.context import CONTEXT
from forewarn_server.logs import logger

ANSWER_BYTES: Final = 2_048
"""Every JSON answer of the anonymous zone has this size or, if it cannot, a multiple of it."""

_INTERNAL: Final = "internal_error"
_MALFORMED: Final = "bad_request"
_OUR_FAULT: Final = VERIFICATION_ERRORS[_INTERNAL].sentence

_log: Final = logger()


class Style(Enum):
    """Which field carries the machine's word for an error: verification and publish differ on the wire."""

    VERIFICATION = "errorCode"
    PUBLISH = "code"


_STATUS: Final = {
    Style.VERIFICATION: {code: error.status for code, error in VERIFICATION_ERRORS.items()},
    Style.PUBLISH: PUBLISH_ERRORS,
}

STYLES: Final = web.AppKey("styles", dict[str, Style])
"""The style of each path; every other path has VERIFICATION."""


def answer(message: WireModel, status: int = 200) -> web.Response:
    """Make a JSON answer, padded to a constant size: neither an eavesdropper nor a proxy tells answers apart."""
    room = len(message.encode()) + MIN_PADDING_CHARACTERS + len('"padding":"",')
    body = message.encode_padded(-(-room // ANSWER_BYTES) * ANSWER_BYTES, _padding)
    # The empty reason keeps the status line of every answer the same length.
    return web.Response(body=body, status=status, reason="", content_type="application/json")


def problem(style: Style, status: int, code: str, sentence: str) -> web.Response:
    """Make the API's error answer."""
    if style is Style.PUBLISH:
        return answer(PublishAnswer(error=sentence, code=code), status)
    return answer(ErrorAnswer(error=sentence, error_code=code), status)


def _padding(characters: int) -> str:
    return secrets.token_urlsafe(characters)[:characters]


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
    except (web.RequestPayloadError, ConnectionError):
        return problem(style, 400, _MALFORMED, "the body broke off or is no HTTP: send it again")
    except (BadInput, Refused) as error:
        code = error.code if isinstance(error, Refused) else _MALFORMED
        return problem(style, _STATUS[style].get(code, 400), code, error.message)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the caller gets JSON and we a log line
        request.app[CONTEXT].metrics.internal_errors.inc()
        _log.error("internal error", error=type(error).__name__, where=_where(error))
        return problem(style, 500, _INTERNAL, _OUR_FAULT)


# What the HTTP layer itself refuses, in a sentence; everything else there is malformed.
_HTTP_SENTENCES: Final = {
    404: "there is nothing at this address: /openapi.json lists what is",
    408: "the body did not come in time: send it again",
    405: "this address takes another method: see /openapi.json",
    413: "the body is larger than 64 kB",
    415: "send the body in the type that /openapi.json names, not compressed",
}


def _http_problem(style: Style, error: web.HTTPException) -> web.Response:
    sentence = _HTTP_SENTENCES.get(error.status, "the request is malformed: see /openapi.json")
    response = problem(style, error.status, _MALFORMED, sentence)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _where(error: BaseException) -> list[str]:
    # Places, never the message: a database or JSON error quotes what it failed on.
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-5:]]
