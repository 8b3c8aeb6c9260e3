"""What a key is made of: fresh bytes, how they are read, and the public half that others may know."""

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from forewarn_protocol.errors import BadInput
from forewarn_protocol.exports.signing import public_key_to_base64
from forewarn_protocol.sealed_uploads import upload_key_to_base64

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
class SealingKey:
    """A key pair on X25519: others seal to its public half, and only this server opens it."""

    name: str
    private: X25519PrivateKey = field(repr=False)

    @property
    def public_base64(self) -> str:
        """The public key as base64 of a DER SubjectPublicKeyInfo."""
        return upload_key_to_base64(self.private.public_key())


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


def _written(key: EllipticCurvePrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(data: bytes) -> object:
    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise BadInput("holds no private key") from None


def _read_pair(name: str, data: bytes) -> SigningKey:
    key = _read_private(data)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise BadInput("is no P-256 key")
    return SigningKey(name, key)


def _read_sealing_pair(name: str, data: bytes) -> SealingKey:
    key = _read_private(data)
    if not isinstance(key, X25519PrivateKey):
        raise BadInput("is no key on X25519")
    return SealingKey(name, key)


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


SIGNING_PAIR: Final = Kind(
    lambda: _written(generate_private_key(SECP256R1())), _read_pair, lambda key: key.public_base64
)
SEALING_PAIR: Final = Kind(
    lambda: _written(X25519PrivateKey.generate()), _read_sealing_pair, lambda key: key.public_base64
)
SECRET: Final = Kind(_fresh_secret, _read_secret, lambda _: "")
