"""A file sealed with a passphrase: argon2id makes its keys, ChaCha20-Poly1305 seals it chunk by chunk.

Layout: header (magic, version, cost and salt of argon2id), HMAC-SHA256 of the header, then the chunks.
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from forewarn_client.moving.passphrase import Passphrase
from forewarn_protocol.errors import BadInput, Missing, NotVerified

MAX_FILE_BYTES: Final = 1 << 30
"""A fortnight of scans that were all flooded to the brim; an ordinary diary has some megabytes."""
CHUNK_BYTES: Final = 64 * 1024

_MAGIC: Final = b"forewarn move\n"
_VERSION: Final = 1
_SALT_BYTES: Final = 16
_HEADER: Final = struct.Struct(f">{len(_MAGIC)}sBIBB{_SALT_BYTES}s")
_CHECK_BYTES: Final = 32
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 32

# One label per use of what argon2id yields (RFC 5869, 3.2). The salt is fresh for each file, so each has keys of its
# own, and a counter is enough of a nonce (RFC 8439, 4). The counter keeps chunks from being reordered, repeated or left
# out, the nonce's last byte says which chunk ends the file: the STREAM construction (Hoang, Reyhanitabar, Rogaway and
# Vizár 2015), so that a file cut at the end of a chunk does not open either.
_CHECK_LABEL: Final = b"forewarn move v1 header"
_CHUNK_LABEL: Final = b"forewarn move v1 chunks"
_COUNTER_BYTES: Final = 11


@dataclass(frozen=True, slots=True)
class Cost:
    """What argon2id spends on one passphrase."""

    memory_kib: int
    iterations: int
    lanes: int


# RFC 9106, 4: the second recommended choice, for little memory. A Pi Zero 2 has 512 MB and four cores.
COST: Final = Cost(memory_kib=64 * 1024, iterations=3, lanes=4)
# What a stranger's header may ask of this device: a quarter of that memory, and seconds.
_DEAREST: Final = Cost(memory_kib=128 * 1024, iterations=8, lanes=8)


@dataclass(frozen=True, slots=True)
class _Header:
    cost: Cost
    salt: bytes

    def encode(self) -> bytes:
        cost = self.cost
        return _HEADER.pack(_MAGIC, _VERSION, cost.memory_kib, cost.iterations, cost.lanes, self.salt)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a header; nothing is spent on one that asks for too much.

        Raises:
            BadInput: no file of a moving diary, or a cost out of bounds.
            Missing: made by a newer Forewarn.
        """
        if len(data) != _HEADER.size or not data.startswith(_MAGIC):
            raise BadInput("this is no file of a moving diary: give the one that 'move out' wrote")
        _, version, memory_kib, iterations, lanes, salt = _HEADER.unpack(data)
        if version != _VERSION:
            raise Missing(f"the file was made by a newer Forewarn (form {version}): update Forewarn")
        dear = memory_kib > _DEAREST.memory_kib or iterations > _DEAREST.iterations or lanes > _DEAREST.lanes
        # No lower bound but argon2id's own: a cheap header is a weak file, and whoever made it knows its passphrase.
        if dear or not iterations or not lanes or memory_kib < 8 * lanes:
            raise BadInput("the file is damaged: its cost of opening is out of bounds; write it anew with 'move out'")
        return cls(Cost(memory_kib, iterations, lanes), salt)

    def keys(self, passphrase: Passphrase) -> tuple[bytes, ChaCha20Poly1305]:
        """Return the check of the header under this passphrase, and the cipher of the chunks."""
        try:
            drawn = Argon2id(
                salt=self.salt,
                length=_KEY_BYTES,
                iterations=self.cost.iterations,
                lanes=self.cost.lanes,
                memory_cost=self.cost.memory_kib,
            ).derive(passphrase.encode())
        except MemoryError:
            raise Missing(f"{self.cost.memory_kib // 1024} MiB of memory are needed: close other programs") from None
        except UnsupportedAlgorithm:
            raise Missing("this system's cryptography lacks argon2id: install cryptography from PyPI") from None
        check_key, chunk_key = (
            HKDFExpand(SHA256(), _KEY_BYTES, label).derive(drawn) for label in (_CHECK_LABEL, _CHUNK_LABEL)
        )
        return hmac.digest(check_key, self.encode(), "sha256"), ChaCha20Poly1305(chunk_key)


def _damaged() -> BadInput:
    return BadInput("the file is damaged or was cut off: bring it over again")


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + bytes([last])


class SealedWriter:
    """Seals what is written to it; `digest` is the SHA-256 of that, `finish` must be called at the end."""

    def __init__(self, out: BinaryIO, passphrase: Passphrase, cost: Cost = COST) -> None:
        header = _Header(cost, os.urandom(_SALT_BYTES))
        check, self._cipher = header.keys(passphrase)
        self._out = out
        self._waiting = bytearray()
        self._number = 0
        self.digest = hashlib.sha256()
        self.bytes_written = out.write(header.encode() + check)

    def write(self, data: bytes) -> None:
        """Add some bytes.

        Raises:
            BadInput: the file grows larger than one that would be read.
        """
        self.digest.update(data)
        self._waiting += data
        # The last chunk is known only at the end, so a full one waits until a byte follows it.
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        """Seal what is left as the last chunk."""
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self.bytes_written += self._out.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1
        if self.bytes_written > MAX_FILE_BYTES:
            raise BadInput(f"the diary is larger than {MAX_FILE_BYTES} bytes: no device would take it in")


class SealedReader:
    """Opens a sealed file from its beginning; nothing is handed out before it is verified.

    Raises:
        BadInput: no such file, or damaged: a byte changed, chunks exchanged, the end cut off or extended.
        NotVerified: the passphrase is wrong.
        Missing: made by a newer Forewarn; or there is no memory for argon2id.
    """

    def __init__(self, file: BinaryIO, passphrase: Passphrase) -> None:
        header = _Header.decode(file.read(_HEADER.size))
        claimed = file.read(_CHECK_BYTES)
        if len(claimed) != _CHECK_BYTES:
            raise _damaged()
        check, self._cipher = header.keys(passphrase)
        if not hmac.compare_digest(check, claimed):
            raise NotVerified("the passphrase is wrong, or the file's beginning is damaged: type all its words again")
        self._file = file
        self._ahead = file.read(CHUNK_BYTES + _TAG_BYTES)
        self._read = _HEADER.size + _CHECK_BYTES
        self._number = 0
        self._opened = bytearray()
        self._ended = False

    def take(self, count: int) -> bytes:
        """Return exactly so many bytes; fewer only where the content ends, whose end is verified then."""
        while len(self._opened) < count and not self._ended:
            self._open_next()
        taken = bytes(self._opened[:count])
        del self._opened[:count]
        return taken

    def _open_next(self) -> None:
        sealed, self._ahead = self._ahead, self._file.read(CHUNK_BYTES + _TAG_BYTES)
        self._read += len(sealed)
        if self._read + len(self._ahead) > MAX_FILE_BYTES:
            raise BadInput(f"the file is larger than {MAX_FILE_BYTES} bytes: this is not the right one")
        self._ended = not self._ahead
        try:
            self._opened += self._cipher.decrypt(_nonce(self._number, last=self._ended), sealed, None)
        except (InvalidTag, ValueError):
            raise _damaged() from None
        self._number += 1
