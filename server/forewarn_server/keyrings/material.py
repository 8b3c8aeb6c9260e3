"""What a key is made of: fresh bytes, how they are read, and the public half that others may know."""

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from forewarn_protocol.errors import BadInput
from forewarn_protocol.exports.signing import public_key_to_base64

K = TypeVar("K")
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A P-256 key pair and its name, which is the version or kid that others see."""

    name: str
    private: EllipticCurvePrivateKey = field(repr=False)

    @property
    def public_base64(self) -> str:
        """The public key as base64 of a DER SubjectPublicKeyInfo."""
        return public_key_to_base64(self.private.public_key())


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A symmetric key for keyed hashes."""

    name: str
    secret: bytes = field(repr=False)

    def mac(self, label: bytes, *parts: bytes) -> bytes:
        """Return 32 bytes of HMAC-SHA256 under a label that separates this use from every other."""
        # Each part is preceded by its length, so that no two lists of parts are the same message.
        message = b"".join(len(part).to_bytes(4, "big") + part for part in (label, *parts))
        return hmac.digest(self.secret, message, "sha256")


@dataclass(frozen=True, slots=True)
class Kind(Generic[K]):
    """A kind of key: what is written down of a fresh one, how that is read, and its public half as base64 ("": none).

    `read(name, data)` raises BadInput with what the data is not.
    """

    fresh: Callable[[], bytes]
    read: Callable[[str, bytes], K]
    public: Callable[[K], str]


def _fresh_pair() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_pair(name: str, data: bytes) -> SigningKey:
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise BadInput("holds no private key") from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise BadInput("is no P-256 key")
    return SigningKey(name, key)


def _fresh_secret() -> bytes:
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)) + b"\n"


def _read_secret(name: str, data: bytes) -> SecretKey:
    try:
        secret = base64.b64decode(data, validate=False)
    except ValueError:
        raise BadInput("holds no key") from None
    if len(secret) != _SECRET_BYTES:
        raise BadInput(f"holds no key of {_SECRET_BYTES} bytes")
    return SecretKey(name, secret)


SIGNING_PAIR: Final = Kind(_fresh_pair, _read_pair, lambda key: key.public_base64)
SECRET: Final = Kind(_fresh_secret, _read_secret, lambda _: "")
