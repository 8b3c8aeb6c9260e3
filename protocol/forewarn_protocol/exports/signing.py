"""The keys that sign exports and feeds: ECDSA on P-256, and their form as base64 text."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from forewarn_protocol.errors import BadInput

ECDSA_WITH_SHA256: Final = "1.2.840.10045.4.3.2"
_MAX_TEXT_CHARACTERS: Final = 1024


@dataclass(frozen=True, slots=True)
class ExportSigner:
    """A private key with the name and version under which devices know it.

    Raises:
        BadInput: the key lies on another curve than P-256.
    """

    private_key: EllipticCurvePrivateKey = field(repr=False)
    key_id: str
    key_version: str

    def __post_init__(self) -> None:
        if not isinstance(self.private_key.curve, SECP256R1):
            raise BadInput("an export's signing key must lie on the curve P-256")


def public_key_from_base64(text: str) -> EllipticCurvePublicKey:
    """Read a public key: base64 of a DER SubjectPublicKeyInfo on P-256.

    Raises:
        BadInput: it is anything else.
    """
    what_to_give = "give the base64 of a DER SubjectPublicKeyInfo on the curve P-256"
    if len(text) > _MAX_TEXT_CHARACTERS:
        raise BadInput(f"a public key is too long: {what_to_give}")
    try:
        key = load_der_public_key(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):
        raise BadInput(f"a public key cannot be read: {what_to_give}") from None
    # The object identifier of ecdsa-with-SHA256 says nothing about the curve; the key does.
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise BadInput(f"a public key is of another kind: {what_to_give}")
    return key


def public_key_to_base64(key: EllipticCurvePublicKey) -> str:
    """Write a public key as base64 of its DER SubjectPublicKeyInfo."""
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def public_key_hash(text: str) -> str:
    """Return the name of a public key by which a revocation tells it: SHA-256 of its DER, in hexadecimal.

    Raises:
        BadInput: it is no public key.
    """
    der = public_key_from_base64(text).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
