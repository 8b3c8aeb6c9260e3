"""Chaff on publish: the same steps as a report's, whatever they find, up to the point where one would be stored."""

import secrets
from contextlib import suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import ForewarnError, Refused
from forewarn_protocol.publishing import PublishAnswer, PublishRequest, parse_publish
from forewarn_protocol.verification import CertificateClaims, TestType, matches_tekmac
from forewarn_server.context import Context
from forewarn_server.publish.examining import Examined, certified, examined
from forewarn_server.publish.revision import RevisionToken
from forewarn_server.publish.service import known_keys, repeated

_JTI_BYTES: Final = 16


async def answer_chaff(context: Context, body: bytes) -> PublishAnswer:
    """Answer like a publish that went well.

    Chaff waits for its turn among the writers, too: who floods the server would else see who does not wait.
    """
    token = RevisionToken.first(context.keys.revision, secrets.token_hex(_JTI_BYTES), b"")
    stored = 0
    with suppress(ForewarnError):
        looked_at = _examine(context, parse_publish(body))
        if not isinstance(looked_at.judged, Refused):
            stored = sum(verdict.tek is not None for verdict in looked_at.judged)
        if context.settings.equal_answers:
            async with context.exposure.writing() as connection:
                await _look_up(connection, looked_at)
    return PublishAnswer(revision_token=token.text, inserted_exposures=stored)


def _examine(context: Context, request: PublishRequest) -> Examined:
    now_s = context.now_s()
    try:
        claims = certified(context, request, now_s)
    except Refused:
        # The certificate of chaff is worthless: from here on as if it had been for these keys.
        claims = CertificateClaims(
            iss="",
            aud="",
            iat=0,
            exp=0,
            jti=secrets.token_hex(_JTI_BYTES),
            report_type=TestType.CONFIRMED,
            tekmac=bytes(32),
        )
        matches_tekmac(request.keys, request.hmac_key, claims.tekmac)
    return examined(context, request, claims, now_s)


async def _look_up(connection: AsyncConnection, looked_at: Examined) -> None:
    if await repeated(connection, looked_at) is None and not isinstance(looked_at.judged, Refused):
        await known_keys(connection, looked_at.judged)
