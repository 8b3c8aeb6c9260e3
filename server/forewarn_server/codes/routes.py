"""The verification routes, as the wire knows them."""

from typing import Final

from aiohttp import web

from forewarn_protocol.cover import CHAFF_HEADER
from forewarn_protocol.errors import Refused
from forewarn_protocol.verification import (
    VERIFICATION_ERRORS,
    BatchIssueAnswer,
    BatchIssueRequest,
    CertificateAnswer,
    CertificateRequest,
    ExpireAnswer,
    ExpireRequest,
    IssueAnswer,
    IssueRequest,
    StatusAnswer,
    StatusRequest,
    VerifyAnswer,
    VerifyRequest,
)
from forewarn_server.accounts.api_keys import Act
from forewarn_server.accounts.requests import staff_of
from forewarn_server.codes import chaff, claiming, issuing
from forewarn_server.context import CONTEXT
from forewarn_server.problems import answer
from forewarn_server.routing import Route, add, body_of


async def _issue(request: web.Request) -> web.Response:
    staff = await staff_of(request, Act.ISSUE)
    message = IssueRequest.parse(await body_of(request))
    return answer(await issuing.issue(request.app[CONTEXT], staff, message))


async def _batch_issue(request: web.Request) -> web.Response:
    staff = await staff_of(request, Act.ISSUE)
    message = BatchIssueRequest.parse(await body_of(request))
    results = await issuing.issue_many(request.app[CONTEXT], staff, message.requests)
    answers = [issuing.error_answer(result) if isinstance(result, Refused) else result for result in results]
    # Where not one code was made, the status says why; otherwise each entry speaks for itself.
    refusals = [result for result in results if isinstance(result, Refused)]
    status = VERIFICATION_ERRORS[refusals[0].code].status if len(refusals) == len(results) else 200
    return answer(BatchIssueAnswer(answers=tuple(answers)), status)


async def _verify(request: web.Request) -> web.Response:
    context, body = request.app[CONTEXT], await body_of(request)
    if CHAFF_HEADER in request.headers:
        return answer(await chaff.answer_verify(context, body))
    return answer(await claiming.verify(context, VerifyRequest.parse(body)))


async def _certificate(request: web.Request) -> web.Response:
    context, body = request.app[CONTEXT], await body_of(request)
    if CHAFF_HEADER in request.headers:
        return answer(await chaff.answer_certificate(context, body))
    return answer(await claiming.certify(context, CertificateRequest.parse(body)))


async def _check_code_status(request: web.Request) -> web.Response:
    await staff_of(request, Act.LOOK_UP)
    message = StatusRequest.parse(await body_of(request))
    return answer(await issuing.look_up(request.app[CONTEXT], message.uuid))


async def _expire_code(request: web.Request) -> web.Response:
    staff = await staff_of(request, Act.EXPIRE)
    message = ExpireRequest.parse(await body_of(request))
    return answer(await issuing.expire(request.app[CONTEXT], staff, message.uuid))


_ROUTES: Final = (
    Route(
        "POST",
        "/api/issue",
        _issue,
        "Issue a code for a person.",
        IssueRequest,
        IssueAnswer,
        ("invalid_test_type", "uuid_already_exists", "quota_exceeded"),
        api_key=True,
    ),
    Route(
        "POST",
        "/api/batch-issue",
        _batch_issue,
        "Issue up to ten codes; each has its own answer.",
        BatchIssueRequest,
        BatchIssueAnswer,
        ("uuid_already_exists", "quota_exceeded"),
        api_key=True,
    ),
    Route(
        "POST",
        "/api/checkcodestatus",
        _check_code_status,
        "Tell whether a code was claimed.",
        StatusRequest,
        StatusAnswer,
        ("code_not_found",),
        api_key=True,
    ),
    Route(
        "POST",
        "/api/expirecode",
        _expire_code,
        "Make a code worthless.",
        ExpireRequest,
        ExpireAnswer,
        ("code_not_found", "code_invalid"),
        api_key=True,
    ),
    Route(
        "POST",
        "/api/verify",
        _verify,
        "Exchange a code for a token. With the header X-Chaff nothing is stored.",
        VerifyRequest,
        VerifyAnswer,
        ("code_invalid", "code_expired", "unsupported_test_type", "invalid_test_type"),
        anonymous=True,
    ),
    Route(
        "POST",
        "/api/certificate",
        _certificate,
        "Exchange a token and the keys' HMAC for a certificate. With the header X-Chaff nothing is stored.",
        CertificateRequest,
        CertificateAnswer,
        ("token_invalid", "token_expired", "hmac_invalid"),
        anonymous=True,
    ),
)


def add_routes(app: web.Application) -> None:
    """Serve issue, batch-issue, checkcodestatus, expirecode, verify and certificate."""
    add(app, _ROUTES)
    app.on_startup.append(_measure_guesses)


async def _measure_guesses(app: web.Application) -> None:
    context = app[CONTEXT]
    context.metrics.expected_guesses.set_function(lambda: context.guesses.expected(context.reached_s()))
