"""Chaff on verify and certificate: looked up like a person's request, answered as if all were well, nothing stored."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import ForewarnError, Refused
from forewarn_protocol.verification import (
    NONCE_BYTES,
    CertificateAnswer,
    CertificateRequest,
    TestType,
    VerifyAnswer,
    VerifyRequest,
)
from forewarn_server.certificates import mint
from forewarn_server.codes.claiming import claimable, usable
from forewarn_server.codes.values import token_of
from forewarn_server.context import Context
from forewarn_server.keyrings.material import SigningKey

_JTI_BYTES: Final = 16
# A certificate takes as long to sign with any key. Nothing verifies against this one, and it dies with the process.
_WORTHLESS: Final = generate_private_key(SECP256R1())


async def answer_verify(context: Context, body: bytes) -> VerifyAnswer:
    """Answer like a claim that went well: with a token that no claim has."""
    now_s, nonce = context.now_s(), secrets.token_bytes(NONCE_BYTES)
    with suppress(ForewarnError):
        request = VerifyRequest.parse(body)
        await _look_up(context, lambda connection: claimable(context, connection, request, nonce, now_s))
    return VerifyAnswer(testtype=TestType.CONFIRMED, token=token_of(context.keys.token.active, "", nonce))


async def answer_certificate(context: Context, body: bytes) -> CertificateAnswer:
    """Answer with a certificate that lets nothing be published."""
    now_s, tekmac = context.now_s(), secrets.token_bytes(NONCE_BYTES)
    with suppress(ForewarnError):
        request = CertificateRequest.parse(body)
        await _look_up(context, lambda connection: usable(context, connection, request, now_s))
    certificate = mint(
        context.settings,
        SigningKey(context.keys.certificate.active.name, _WORTHLESS),
        now_s=now_s,
        jti=secrets.token_hex(_JTI_BYTES),
        test_type=TestType.CONFIRMED,
        symptom_date=None,
        tekmac=tekmac,
    )
    return CertificateAnswer(certificate=certificate)


async def _look_up(context: Context, look: Callable[[AsyncConnection], Awaitable[object]]) -> None:
    if not context.settings.equal_answers:
        return
    # Before the turn among the writers and in it, as a claim does: who floods the server would else see who waits.
    for transaction in (context.exposure.reading, context.exposure.writing):
        async with transaction() as connection:
            with suppress(Refused):
                await look(connection)
