"""The server's keys on disk: one folder per use, created once, readable by nobody else, never printed."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.files import read_bounded, write_durably

_MAX_KEY_BYTES: Final = 4_096
_SECRET_BYTES: Final = 32
_OWNER_ONLY: Final = 0o600
_FIRST: Final = "v1"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A P-256 key pair and its name, which is the version or kid that others see."""

    name: str
    private: EllipticCurvePrivateKey = field(repr=False)

    @property
    def public_base64(self) -> str:
        """The public key as base64 of a DER SubjectPublicKeyInfo."""
        der = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode("ascii")


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
class SigningKeys:
    """Every key of one server, each for one use only.

    `export` signs export files, `feed` index, configuration and advice, `certificate` the JWTs; `code_hash` hides codes
    in the database, `token` derives verification and revision tokens.
    """

    export: SigningKey
    feed: SigningKey
    certificate: SigningKey
    code_hash: SecretKey
    token: SecretKey

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read all keys from DATA/keys.

        Raises:
            Missing: one is not there; init creates it.
            BadInput: a file holds something else.
        """
        return cls(
            export=_load_pair(folder / "export"),
            feed=_load_pair(folder / "feed"),
            certificate=_load_pair(folder / "certificate"),
            code_hash=_load_secret(folder / "code-hash"),
            token=_load_secret(folder / "token"),
        )


def create_missing(folder: Path) -> list[str]:
    """Create the keys of DATA/keys that are not there, and return the uses for which one was made."""
    makers = {
        "export": _fresh_pair,
        "feed": _fresh_pair,
        "certificate": _fresh_pair,
        "code-hash": _fresh_secret,
        "token": _fresh_secret,
    }
    made = []
    for use, fresh in makers.items():
        path = folder / use / _FIRST
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(path, fresh(), mode=_OWNER_ONLY)
            made.append(use)
    return made


def _fresh_pair() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _fresh_secret() -> bytes:
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)) + b"\n"


def _read(folder: Path) -> bytes:
    path = folder / _FIRST
    if not path.is_file():
        raise Missing(
            f"the key {path} is missing: restore it from a backup, or let forewarn-server init make a new one"
        )
    return read_bounded(path, _MAX_KEY_BYTES)


def _load_pair(folder: Path) -> SigningKey:
    data = _read(folder)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{folder / _FIRST} holds no private key: restore it from a backup") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise BadInput(f"{folder / _FIRST} is no P-256 key: restore it from a backup")
    return SigningKey(_FIRST, key)


def _load_secret(folder: Path) -> SecretKey:
    try:
        secret = base64.b64decode(_read(folder), validate=False)
    except ValueError as error:
        raise BadInput(f"{folder / _FIRST} holds no key: restore it from a backup") from error
    if len(secret) != _SECRET_BYTES:
        raise BadInput(f"{folder / _FIRST} holds no key of {_SECRET_BYTES} bytes: restore it from a backup")
    return SecretKey(_FIRST, secret)
