"""Rolling Proximity Identifiers and Associated Encrypted Metadata: derive, encrypt, decrypt (GAEN crypto v1.2)."""

import hmac
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NewType

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

from forewarn_protocol.intervals import MAX_INTERVAL, midnight, next_midnight

RollingProximityIdentifier = NewType("RollingProximityIdentifier", bytes)
EncryptedMetadata = NewType("EncryptedMetadata", bytes)

RPI_BYTES: Final = 16
AEM_BYTES: Final = 4

# HKDF's label separates the two keys that one TEK yields (GAEN crypto v1.2, 'Rolling Proximity Identifier Key' and
# 'Associated Encrypted Metadata Key'): knowing RPIK says nothing about AEMK.
_RPIK_INFO: Final = b"EN-RPIK"
_AEMK_INFO: Final = b"EN-AEMK"
# The plaintext of an identifier; the six zero bytes pad it to one AES block before the interval.
_RPI_PREFIX: Final = b"EN-RPI" + bytes(6)
_NO_SALT: Final = bytes(32)


def _hkdf_16(key: bytes, info: bytes) -> bytes:
    # RFC 5869 for one block of output. Two calls of the C library's HMAC; the HKDF object of `cryptography` costs five
    # times as much, and a device derives this once for each of up to half a million published keys.
    pseudorandom_key = hmac.digest(_NO_SALT, key, "sha256")
    return hmac.digest(pseudorandom_key, info + b"\x01", "sha256")[:16]


def identifier_key(tek: bytes) -> bytes:
    """Return the RPIK (16 bytes) of a TEK's 16 bytes."""
    return _hkdf_16(tek, _RPIK_INFO)


def metadata_key(tek: bytes) -> bytes:
    """Return the AEMK (16 bytes) of a TEK's 16 bytes."""
    return _hkdf_16(tek, _AEMK_INFO)


@lru_cache(maxsize=64)
def _plaintexts(first: int, end: int) -> bytes:
    return b"".join(_RPI_PREFIX + struct.pack("<I", i) for i in range(first, end))


def identifiers(tek: bytes, first: int, count: int) -> Sequence[RollingProximityIdentifier]:
    """Return the RPIs of `count` intervals from `first` on, in order."""
    # Half a million published keys speak on a fortnight's days: plaintexts are made once per day and cut to the key.
    start = midnight(first)
    blocks = _plaintexts(start, min(next_midnight(first + count - 1), MAX_INTERVAL + 1))
    # ECB is what the protocol demands: each block is a distinct interval, so no two plaintexts are equal.
    encryptor = Cipher(AES(identifier_key(tek)), ECB()).encryptor()  # noqa: S305
    at = (first - start) * RPI_BYTES
    stream = encryptor.update(blocks[at : at + count * RPI_BYTES])
    return struct.unpack(f"{RPI_BYTES}s" * count, stream)


def identifier(tek: bytes, interval: int) -> RollingProximityIdentifier:
    """Return the RPI of one interval."""
    return identifiers(tek, interval, 1)[0]


def crypt_metadata(tek: bytes, rpi: bytes, metadata: bytes) -> bytes:
    """Encrypt or decrypt (counter mode: the same step) the 4 bytes of metadata spoken beside an RPI.

    The result is not authenticated: who flips a bit of the AEM flips the same bit of the TX power.
    """
    return Cipher(AES(metadata_key(tek)), CTR(rpi)).encryptor().update(metadata)
