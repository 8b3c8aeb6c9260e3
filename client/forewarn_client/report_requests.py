"""The three requests of a report, each of one size whatever it carries; a refusal in words that say what to do."""

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Final, TypeVar

from forewarn_client.connection import Answer, Connection
from forewarn_client.device import Device
from forewarn_client.pinned_feeds import CONFIGURATION, refresh, remembered
from forewarn_client.timing import Timing
from forewarn_client.translations import say, say_refusal
from forewarn_protocol.advice import Language
from forewarn_protocol.configuration import DeviceConfiguration
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
from forewarn_shell.clock import Clock

# Whoever sees the encrypted traffic of a device learns nothing about the length of its code or the number of its keys.
VERIFY_BYTES: Final = 2048
CERTIFICATE_BYTES: Final = 4096
PUBLISH_BYTES: Final = 8192

# What a server calls its error is printed, so it may be a word of the protocol and nothing else.
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,64}")

Message = TypeVar("Message", bound=WireModel)


@dataclass(slots=True)
class Walk:
    """The way of a report, or of chaff, through its three requests: by sizes and gaps nobody tells the two apart."""

    clock: Clock
    timing: Timing
    language: Language
    chaff: bool = False
    _not_before_s: float = -inf

    async def send(self, connection: Connection, path: str, message: WireModel, total_bytes: int) -> Answer:
        """Send the next request, no sooner after the last answer than a gap that was drawn by chance."""
        body = message.encode_padded(total_bytes, fill)
        await self.clock.sleep_until(self._not_before_s)
        answer = await connection.post(path, body, chaff=self.chaff)
        self._not_before_s = self.clock.monotonic() + self.timing.draw(self.timing.report_gap_s)
        return answer


async def known_configuration(device: Device, connection: Connection) -> DeviceConfiguration:
    """Return the configuration as remembered; only a device that has none asks for it.

    Raises:
        Missing: the server cannot be reached or fails; no feed key is pinned.
        NotVerified: no pinned key signed the answer.
    """
    configuration = await remembered(device, CONFIGURATION)
    return (await refresh(device, connection, CONFIGURATION)).feed if configuration is None else configuration


async def verify(
    walk: Walk, connection: Connection, code: str, nonce: bytes, accept: tuple[TestType, ...]
) -> VerifyAnswer:
    """Exchange a code for a token; with the same nonce, for the same token again.

    A code that stands for none of `accept` is not used up.

    Raises:
        Refused: wrong, expired or used code, one that is not accepted; quota.
        Missing: the server cannot be reached or fails; the code may have been taken, the nonce gets it back.
    """
    request = VerifyRequest(code=code, accept=accept, nonce=nonce)
    return _read(VerifyAnswer, await walk.send(connection, "/api/verify", request, VERIFY_BYTES), walk.language)


async def certify(walk: Walk, connection: Connection, token: str, keys_hmac: bytes) -> str:
    """Exchange a token and the keys' HMAC for a certificate; the same pair may be sent again.

    Raises:
        Refused: the token has run out.
        Missing: the server cannot be reached or fails.
    """
    request = CertificateRequest(token=token, ekeyhmac=keys_hmac)
    answer = await walk.send(connection, "/api/certificate", request, CERTIFICATE_BYTES)
    return _read(CertificateAnswer, answer, walk.language).certificate


async def publish(walk: Walk, connection: Connection, request: PublishRequest) -> PublishAnswer:
    """Publish keys; the same keys with the same HMAC key may be sent again.

    Raises:
        Refused: the server does not take the keys.
        Missing: the server cannot be reached or fails; the keys may have arrived all the same.
    """
    return _read(PublishAnswer, await walk.send(connection, "/v1/publish", request, PUBLISH_BYTES), walk.language)


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
