"""Codes and tokens as values: drawn, written, hashed."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from forewarn_protocol.verification import LONG_CODE_CHARACTERS, SHORT_CODE_DIGITS
from forewarn_server.keyrings.material import SecretKey

# Letters and digits that nobody mistakes for each other (no i, l, o, u): 16 of them hold 80 random bits.
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"

# One label per use of a key. A short code, a long code and a nonce are hashed under different labels, so that equal
# hashes in the database never tell that two different kinds of secret are equal.
_SHORT: Final = b"forewarn short code v1"
_LONG: Final = b"forewarn long code v1"
_NONCE: Final = b"forewarn nonce v1"
# The token is a pseudorandom function of the code's uuid and the nonce: whoever lost the answer gets the same one
# again, though the server keeps nothing but its hash. Without the token key nobody can compute it.
_TOKEN: Final = b"forewarn verification token v1"


@dataclass(frozen=True, slots=True)
class Codes:
    """The short and the long form of one code."""

    short: str = field(repr=False)
    long: str = field(repr=False)

    @classmethod
    def draw(cls) -> "Codes":
        """Draw both forms from the system's randomness."""
        short = f"{secrets.randbelow(10**SHORT_CODE_DIGITS):0{SHORT_CODE_DIGITS}d}"
        return cls(short, "".join(secrets.choice(_LETTERS) for _ in range(LONG_CODE_CHARACTERS)))


def as_typed(text: str) -> str:
    """Return a code as it was issued, whatever spaces, hyphens and capitals a person typed."""
    return "".join(text.split()).replace("-", "").lower()


def is_short(text: str) -> bool:
    """Tell which form of a code a person typed."""
    return len(as_typed(text)) == SHORT_CODE_DIGITS


def short_hash(key: SecretKey, code: str) -> bytes:
    """Return what the database keeps of a short code."""
    return key.mac(_SHORT, code.encode())


def long_hash(key: SecretKey, code: str) -> bytes:
    """Return what the database keeps of a long code."""
    return key.mac(_LONG, code.encode())


def nonce_hash(key: SecretKey, nonce: bytes) -> bytes:
    """Return what the database keeps of the nonce that claimed a code."""
    return key.mac(_NONCE, nonce)


def token_of(key: SecretKey, uuid: str, nonce: bytes) -> str:
    """Return the token that a claim of this code with this nonce yields: 64 hex characters."""
    return key.mac(_TOKEN, uuid.encode(), nonce).hex()


def token_hash(token: str) -> bytes:
    """Return what the database keeps of a token; it has 256 bits, so a plain hash cannot be tried out."""
    return hashlib.sha256(token.encode()).digest()
