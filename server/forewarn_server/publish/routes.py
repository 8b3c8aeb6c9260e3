"""`POST /v1/publish`, as the wire knows it."""

from typing import Final

from aiohttp import web

from forewarn_protocol.cover import CHAFF_HEADER
from forewarn_protocol.publishing import PublishAnswer, PublishRequest
from forewarn_server.context import CONTEXT
from forewarn_server.problems import Style, answer
from forewarn_server.publish.chaff import answer_chaff
from forewarn_server.publish.examining import examine
from forewarn_server.publish.service import publish
from forewarn_server.routing import Route, add, body_of

_REFUSALS: Final = (
    "unknown_health_authority_id",
    "health_authority_verification_certificate_invalid",
    "missing_revision_token",
    "invalid_revision_token",
    "key_already_revised",
    "invalid_report_type_transition",
    "partial_failure",
)


def add_routes(app: web.Application) -> None:
    """Serve publish."""
    add(
        app,
        (
            Route(
                "POST",
                "/v1/publish",
                _publish,
                "Publish the keys of a confirmed case. With the header X-Chaff nothing is stored.",
                PublishRequest,
                PublishAnswer,
                _REFUSALS,
                anonymous=True,
                style=Style.PUBLISH,
            ),
        ),
    )


async def _publish(request: web.Request) -> web.Response:
    context, body = request.app[CONTEXT], await body_of(request)
    if CHAFF_HEADER in request.headers:
        return answer(await answer_chaff(context, body))
    return answer(await publish(context, examine(context, body)))
