"""The person's side of codes: a code becomes a token, a token becomes a certificate."""

import hmac
import secrets
from datetime import date
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import Refused
from forewarn_protocol.verification import (
    NONCE_BYTES,
    TOKEN_S,
    CertificateAnswer,
    CertificateRequest,
    TestType,
    VerifyAnswer,
    VerifyRequest,
    refuse,
)
from forewarn_server.certificates import mint
from forewarn_server.codes.values import as_typed, is_short, long_hash, nonce_hash, short_hash, token_hash, token_of
from forewarn_server.context import Context
from forewarn_server.store.exposure_tables import codes, tokens

_WRONG: Final = frozenset({"code_invalid", "code_expired"})


async def verify(context: Context, request: VerifyRequest) -> VerifyAnswer:
    """Exchange a code for a token; the same code with the same nonce gives the same token again.

    Raises:
        Refused: code_invalid, code_expired, unsupported_test_type; the code is as it was before.
    """
    now_s = context.now_s()
    # Without a nonce, one that nobody knows: the claim cannot be repeated.
    nonce = request.nonce or secrets.token_bytes(NONCE_BYTES)
    # Guesses end here, without a turn among the writers.
    try:
        async with context.exposure.reading() as connection:
            await claimable(context, connection, request, nonce, now_s)
    except Refused as refusal:
        if refusal.code in _WRONG and is_short(request.code):
            await context.guesses.note_wrong_try(context.exposure, now_s)
        raise
    async with context.exposure.writing() as connection:
        row, hashed = await claimable(context, connection, request, nonce, now_s)
        if row.nonce_hash is None:
            key = context.keys.token.active
            token = token_of(key, row.uuid, nonce)
            await connection.execute(update(codes).where(codes.c.uuid == row.uuid).values(nonce_hash=hashed))
            await connection.execute(insert(tokens).values(_token_row(row, token, key.name, now_s)))
        else:
            token = await _token_again(context, connection, row, nonce)
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
        await usable(context, connection, request, now_s)
    async with context.exposure.writing() as connection:
        row = await usable(context, connection, request, now_s)
        if row.ekeyhmac is None:
            await connection.execute(update(tokens).where(this_token).values(ekeyhmac=request.ekeyhmac))
    certificate = mint(
        context.settings,
        context.keys.certificate.active,
        now_s=now_s,
        jti=row.jti,
        test_type=TestType(row.test_type),
        symptom_date=_day(row.symptom_date),
        tekmac=request.ekeyhmac,
    )
    return CertificateAnswer(certificate=certificate)


async def claimable(
    context: Context, connection: AsyncConnection, request: VerifyRequest, nonce: bytes, now_s: int
) -> tuple[Row[Any], bytes]:
    """Return the code that a request names and this nonce may claim, and the nonce's hash.

    Raises:
        Refused: code_invalid, code_expired, unsupported_test_type.
    """
    code, short = as_typed(request.code), is_short(request.code)
    column, digest = (codes.c.short_hash, short_hash) if short else (codes.c.long_hash, long_hash)
    # The key of the day on which it was issued is still there, or the code is too old.
    digests = {digest(key, code): key for key in context.keys.code_hash.accepted}
    row = (await connection.execute(select(codes).where(column.in_(digests)))).first()
    if row is None:
        raise refuse("code_invalid")
    hashed = nonce_hash(digests[row.short_hash if short else row.long_hash], nonce)
    if row.nonce_hash is not None and not hmac.compare_digest(row.nonce_hash, hashed):
        raise refuse("code_invalid")
    if now_s >= (row.short_expires_s if short else row.long_expires_s):
        raise refuse("code_expired")
    if row.test_type not in request.accept:
        raise refuse("unsupported_test_type")
    return row, hashed


async def _token_again(context: Context, connection: AsyncConnection, code: Row[Any], nonce: bytes) -> str:
    texts = [token_of(key, code.uuid, nonce) for key in context.keys.token.accepted]
    by_hash = {token_hash(text): text for text in texts}
    found = await connection.scalar(select(tokens.c.token_hash).where(tokens.c.token_hash.in_(by_hash)))
    if found is None:  # the key that made it was revoked since
        raise refuse("code_invalid")
    return by_hash[found]


async def usable(context: Context, connection: AsyncConnection, request: CertificateRequest, now_s: int) -> Row[Any]:
    """Return the token that a request names and these keys may use.

    Raises:
        Refused: token_invalid, token_expired.
    """
    found = await connection.execute(select(tokens).where(tokens.c.token_hash == token_hash(request.token)))
    row = found.one_or_none()
    if row is None or (row.ekeyhmac is not None and not hmac.compare_digest(row.ekeyhmac, request.ekeyhmac)):
        raise refuse("token_invalid")
    if row.token_key not in {key.name for key in context.keys.token.accepted}:
        raise refuse("token_invalid")
    if now_s >= row.expires_s:
        raise refuse("token_expired")
    return row


def _token_row(code: Row[Any], token: str, token_key: str, now_s: int) -> dict[str, Any]:
    # Nothing here leads back to the code: the registry's bridge ends there.
    return {
        "token_hash": token_hash(token),
        "token_key": token_key,
        "test_type": code.test_type,
        "symptom_date": code.symptom_date,
        "test_date": code.test_date,
        "jti": str(uuid4()),
        "expires_s": now_s + TOKEN_S,
    }


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
