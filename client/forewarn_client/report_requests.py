"""The three requests of a report, each of one size whatever it carries; a refusal in words that say what to do."""

import re
import secrets
from contextlib import suppress
from http import HTTPStatus
from typing import Final, TypeVar

from forewarn_client.connection import Answer, Connection
from forewarn_client.translations import say, say_refusal
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadMessage, Missing, Refused
from forewarn_protocol.publishing import PublishAnswer, PublishRequest
from forewarn_protocol.verification import (
    CertificateAnswer,
    CertificateRequest,
    ErrorAnswer,
    TestType,
    VerifyAnswer,
    VerifyRequest,
)
from forewarn_protocol.wire import WireModel

# Whoever sees the encrypted traffic of a device learns nothing about the length of its code or the number of its keys.
VERIFY_BYTES: Final = 2048
CERTIFICATE_BYTES: Final = 4096
PUBLISH_BYTES: Final = 8192

# What a server calls its error is printed, so it may be a word of the protocol and nothing else.
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,64}")

Message = TypeVar("Message", bound=WireModel)


async def verify(
    connection: Connection, language: Language, code: str, nonce: bytes, accept: tuple[TestType, ...]
) -> VerifyAnswer:
    """Exchange a code for a token; with the same nonce, for the same token again.

    A code that stands for none of `accept` is not used up.

    Raises:
        Refused: wrong, expired or used code, one that is not accepted; quota.
        Missing: the server cannot be reached or fails; the code may have been taken, the nonce gets it back.
    """
    request = VerifyRequest(code=code, accept=accept, nonce=nonce)
    answer = await connection.post("/api/verify", request.encode_padded(VERIFY_BYTES, fill))
    return _read(VerifyAnswer, answer, language)


async def certify(connection: Connection, language: Language, token: str, keys_hmac: bytes) -> str:
    """Exchange a token and the keys' HMAC for a certificate; the same pair may be sent again.

    Raises:
        Refused: the token has run out.
        Missing: the server cannot be reached or fails.
    """
    request = CertificateRequest(token=token, ekeyhmac=keys_hmac)
    answer = await connection.post("/api/certificate", request.encode_padded(CERTIFICATE_BYTES, fill))
    return _read(CertificateAnswer, answer, language).certificate


async def publish(connection: Connection, language: Language, request: PublishRequest) -> PublishAnswer:
    """Publish keys; the same keys with the same HMAC key may be sent again.

    Raises:
        Refused: the server does not take the keys.
        Missing: the server cannot be reached or fails; the keys may have arrived all the same.
    """
    answer = await connection.post("/v1/publish", request.encode_padded(PUBLISH_BYTES, fill))
    return _read(PublishAnswer, answer, language)


def _read(message: type[Message], answer: Answer, language: Language) -> Message:
    if answer.status == HTTPStatus.OK:
        return message.parse(answer.body)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Missing(say(language, "refused.server"))
    code = _error_code(answer)
    raise Refused(say_refusal(language, code), code)


def _error_code(answer: Answer) -> str:
    code: str | None = None
    with suppress(BadMessage):  # a proxy's own page
        # The publish API writes `code`, the verification API `errorCode`.
        code = PublishAnswer.parse(answer.body).code or ErrorAnswer.parse(answer.body).error_code
    if code and _ERROR_CODE.fullmatch(code):
        return code
    return "quota_exceeded" if answer.status == HTTPStatus.TOO_MANY_REQUESTS else f"HTTP {answer.status}"


def fill(characters: int) -> str:
    """Return so many random characters of padding."""
    return secrets.token_urlsafe(characters)[:characters]
