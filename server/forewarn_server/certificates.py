"""Certificates: the JWTs that codes end in and publishing begins with, made and read in one place."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import jwt

from forewarn_protocol.errors import BadMessage, NotVerified
from forewarn_protocol.intervals import first_interval
from forewarn_protocol.verification import CERTIFICATE_ALGORITHM, CERTIFICATE_S, CertificateClaims, TestType
from forewarn_protocol.wire import base64_text
from forewarn_server.config import ServerSettings
from forewarn_server.keyrings.material import SigningKey

_MAX_CHARACTERS: Final = 8_192
_SKEW_S: Final = 60
"""Seconds by which the clock may have been set back since a certificate was made."""
_REQUIRED: Final = ["iss", "aud", "iat", "exp", "jti", "reportType", "tekmac"]


def audience(settings: ServerSettings) -> str:
    """Return the `aud` of every certificate: the key server of this region, and no other."""
    return f"forewarn/{settings.region}"


def mint(
    settings: ServerSettings,
    key: SigningKey,
    *,
    now_s: int,
    jti: str,
    test_type: TestType,
    symptom_date: date | None,
    tekmac: bytes,
) -> str:
    """Sign a certificate that lets the keys with this HMAC be published once."""
    claims: dict[str, Any] = {
        "iss": settings.authority,
        "aud": audience(settings),
        "iat": now_s,
        "exp": now_s + CERTIFICATE_S,
        "jti": jti,
        "reportType": test_type.value,
        "tekmac": base64_text(tekmac),
    }
    if symptom_date is not None:
        claims["symptomOnsetInterval"] = first_interval(symptom_date)
    return jwt.encode(claims, key.private, algorithm=CERTIFICATE_ALGORITHM, headers={"kid": key.name})


def read(settings: ServerSettings, keys: Sequence[SigningKey], certificate: str, *, now_s: int) -> CertificateClaims:
    """Verify a certificate, made by any of our keys, and return what it says.

    Raises:
        NotVerified: not ours, not for us, expired, or malformed; the sentence does not say which to a guesser.
    """
    refusal = NotVerified("the certificate is not valid here: enter the code again for a new one")
    if len(certificate) > _MAX_CHARACTERS:
        raise refusal
    try:
        kid = jwt.get_unverified_header(certificate).get("kid")
        key = next((key for key in keys if key.name == kid), None)
        if key is None:
            raise refusal
        claims = jwt.decode(
            certificate,
            key.private.public_key(),
            algorithms=[CERTIFICATE_ALGORITHM],
            audience=audience(settings),
            issuer=settings.authority,
            # The library would read the machine's clock; ours is injected.
            options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        read_claims = CertificateClaims.parse(json.dumps(claims).encode())
    except (jwt.InvalidTokenError, BadMessage):
        raise refusal from None
    if not read_claims.iat - _SKEW_S <= now_s < read_claims.exp:
        raise refusal
    return read_claims
