"""A publish sealed to the anonymous zone, for somebody else to carry: HPKE (RFC 9180), one size, a day's life.

The device that reports cannot reach the key server, or its person has none: it hands the authority a file. Who carries
it can neither read it nor change it, nor learn from its size how many days are in it.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import Field

from forewarn_protocol.errors import BadInput, BadMessage
from forewarn_protocol.publishing import PublishRequest
from forewarn_protocol.verification import Secret, UnixSeconds
from forewarn_protocol.wire import Padding, WireModel, base64_text

UPLOAD_S: Final = 24 * 3600
"""As long as a token lives, too; counted from the making of the file."""
MAX_AHEAD_S: Final = 3600
"""By which the clock of the device that made it may be fast."""
_PLAIN_BYTES: Final = 8192
_ENC_BYTES: Final = 32
_TAG_BYTES: Final = 16
SEALED_BYTES: Final = _ENC_BYTES + _PLAIN_BYTES + _TAG_BYTES
"""Of every sealed upload, whatever it carries."""

# Base mode (RFC 9180, 5.1.1): anybody may seal, for what counts is the token inside. A fresh key pair each time (4.1),
# so the one message under its key needs no counter. The info binds the file to its use and its region: opened
# elsewhere, or as anything else, it is noise.
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_LABEL: Final = b"forewarn upload v1"


class SealedUpload(WireModel):
    """What is sealed: when it was made, the token that lets it be published, the request without its certificate."""

    made: UnixSeconds
    token: Secret
    publish: dict[str, Any] = Field(repr=False)
    padding: Padding = ""

    @classmethod
    def of(cls, made_s: int, token: str, request: PublishRequest) -> Self:
        """Take a request's certificate and padding away."""
        fields = request.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"verification_payload", "padding"}
        )
        return cls(made=made_s, token=token, publish=fields)

    def request(self, certificate: str) -> PublishRequest:
        """Return the request as it is published with a certificate.

        Raises:
            BadMessage: what was sealed is no publish request.
        """
        return PublishRequest.parse(json.dumps({**self.publish, "verificationPayload": certificate}).encode())

    def seal(self, key: X25519PublicKey, region: str, fill: Callable[[int], str]) -> bytes:
        """Return enc ‖ ciphertext for a region's key; `fill(n)` gives n characters of plain ASCII padding."""
        return _SUITE.encrypt(self.encode_padded(_PLAIN_BYTES, fill), key, info=_LABEL + region.encode())

    @classmethod
    def open(cls, sealed: bytes, keys: Iterable[X25519PrivateKey], region: str) -> Self:
        """Open what any of a region's keys can open.

        Raises:
            BadMessage: none can: sealed for another key or region, changed, or cut off; or nothing of ours is in it.
        """
        for key in keys if len(sealed) == SEALED_BYTES else ():
            try:
                return cls.parse(_SUITE.decrypt(sealed, key, info=_LABEL + region.encode()))
            except (InvalidTag, ValueError):
                continue
        raise BadMessage("the file is no sealed upload for this server, or not whole: have it made anew")


class UploadAnswer(WireModel):
    """What whoever passed it on is told: it is published, by this file or by one that came before."""

    already_published: bool
    padding: Padding = ""


def upload_key_to_base64(key: X25519PublicKey) -> str:
    """Return a public key as base64 of its DER SubjectPublicKeyInfo, as the configuration lists it."""
    return base64_text(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def upload_key_from_base64(text: str) -> X25519PublicKey:
    """Read such a key.

    Raises:
        BadInput: it is none.
    """
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        raise BadInput("an upload key is the base64 of the SubjectPublicKeyInfo of a key on X25519")
    return key
