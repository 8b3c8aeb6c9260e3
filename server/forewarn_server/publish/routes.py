"""`POST /v1/publish`, as the wire knows it; and chaff, which must look the same from outside."""

import secrets
from contextlib import suppress
from typing import Final

from aiohttp import web

from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.publishing import CHAFF_HEADER, PublishAnswer, PublishRequest
from forewarn_server.context import CONTEXT
from forewarn_server.problems import Style, answer
from forewarn_server.publish.examining import examine
from forewarn_server.publish.revision import RevisionToken
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
_JTI_BYTES: Final = 16


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
                style=Style.PUBLISH,
            ),
        ),
    )


async def _publish(request: web.Request) -> web.Response:
    context, body = request.app[CONTEXT], await body_of(request)
    if CHAFF_HEADER in request.headers:
        # The same checks, whatever they find: what is left out would be missing from the time it takes.
        with suppress(ForewarnError):
            examine(context, body)
        nobody = RevisionToken.first(context.keys.token, secrets.token_hex(_JTI_BYTES), b"")
        return answer(PublishAnswer(revision_token=nobody.text))
    return answer(await publish(context, examine(context, body)))
