"""The person's side of codes: a code becomes a token, a token becomes a certificate."""

import hmac
import secrets
from datetime import date
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.verification import (
    NONCE_BYTES,
    SHORT_CODE_DIGITS,
    TOKEN_S,
    CertificateAnswer,
    CertificateRequest,
    TestType,
    VerifyAnswer,
    VerifyRequest,
    refuse,
)
from forewarn_server.certificates import mint
from forewarn_server.codes.values import as_typed, long_hash, nonce_hash, short_hash, token_hash, token_of
from forewarn_server.context import Context
from forewarn_server.store.exposure_tables import codes, tokens


async def verify(context: Context, request: VerifyRequest) -> VerifyAnswer:
    """Exchange a code for a token; the same code with the same nonce gives the same token again.

    Raises:
        Refused: code_invalid, code_expired, unsupported_test_type; the code is as it was before.
    """
    now_s = context.now_s()
    # Without a nonce, one that nobody knows: the claim cannot be repeated.
    nonce = request.nonce or secrets.token_bytes(NONCE_BYTES)
    hashed = nonce_hash(context.keys.code_hash, nonce)
    # Guesses end here, without a turn among the writers.
    async with context.exposure.reading() as connection:
        await claimable(context, connection, request, hashed, now_s)
    async with context.exposure.writing() as connection:
        row = await claimable(context, connection, request, hashed, now_s)
        token = token_of(context.keys.token, row.uuid, nonce)
        if row.nonce_hash is None:
            await connection.execute(update(codes).where(codes.c.uuid == row.uuid).values(nonce_hash=hashed))
            await connection.execute(insert(tokens).values(_token_row(row, token, now_s)))
    return VerifyAnswer(
        testtype=TestType(row.test_type),
        token=token,
        symptom_date=_day(row.symptom_date),
        test_date=_day(row.test_date),
    )


async def certify(context: Context, request: CertificateRequest) -> CertificateAnswer:
    """Exchange a token and the keys' HMAC for a certificate; the same pair gives the same jti with a new expiry.

    Raises:
        Refused: token_invalid, token_expired.
    """
    now_s = context.now_s()
    this_token = tokens.c.token_hash == token_hash(request.token)
    async with context.exposure.reading() as connection:
        await usable(connection, request, now_s)
    async with context.exposure.writing() as connection:
        row = await usable(connection, request, now_s)
        if row.ekeyhmac is None:
            await connection.execute(update(tokens).where(this_token).values(ekeyhmac=request.ekeyhmac))
    certificate = mint(
        context.settings,
        context.keys.certificate,
        now_s=now_s,
        jti=row.jti,
        test_type=TestType(row.test_type),
        symptom_date=_day(row.symptom_date),
        tekmac=request.ekeyhmac,
    )
    return CertificateAnswer(certificate=certificate)


async def claimable(
    context: Context, connection: AsyncConnection, request: VerifyRequest, hashed: bytes, now_s: int
) -> Row[Any]:
    """Return the code that a request names and this nonce (by its hash) may claim.

    Raises:
        Refused: code_invalid, code_expired, unsupported_test_type.
    """
    code = as_typed(request.code)
    is_short = len(code) == SHORT_CODE_DIGITS
    column, digest = (codes.c.short_hash, short_hash) if is_short else (codes.c.long_hash, long_hash)
    found = await connection.execute(select(codes).where(column == digest(context.keys.code_hash, code)))
    row = found.one_or_none()
    if row is None or (row.nonce_hash is not None and not hmac.compare_digest(row.nonce_hash, hashed)):
        raise refuse("code_invalid")
    if now_s >= (row.short_expires_s if is_short else row.long_expires_s):
        raise refuse("code_expired")
    if row.test_type not in request.accept:
        raise refuse("unsupported_test_type")
    return row


async def usable(connection: AsyncConnection, request: CertificateRequest, now_s: int) -> Row[Any]:
    """Return the token that a request names and these keys may use.

    Raises:
        Refused: token_invalid, token_expired.
    """
    found = await connection.execute(select(tokens).where(tokens.c.token_hash == token_hash(request.token)))
    row = found.one_or_none()
    if row is None or (row.ekeyhmac is not None and not hmac.compare_digest(row.ekeyhmac, request.ekeyhmac)):
        raise refuse("token_invalid")
    if now_s >= row.expires_s:
        raise refuse("token_expired")
    return row


def _token_row(code: Row[Any], token: str, now_s: int) -> dict[str, Any]:
    # Nothing here leads back to the code: the registry's bridge ends there.
    return {
        "token_hash": token_hash(token),
        "test_type": code.test_type,
        "symptom_date": code.symptom_date,
        "test_date": code.test_date,
        "jti": str(uuid4()),
        "expires_s": now_s + TOKEN_S,
    }


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
