"""Export files laid out byte by byte with struct and zipfile, sharing nothing with the code that is tested."""

import hashlib
import io
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

MAGIC = b"EK Export v1    "
OID = "1.2.840.10045.4.3.2"
START = 2_700_000 // 144 * 144


def private_key(number: int, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Return always the same key for the same number."""
    return ec.derive_private_key(
        int.from_bytes(hashlib.sha256(b"key %d" % number).digest()[:31]), curve or ec.SECP256R1()
    )


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def zigzag(value: int) -> int:
    return value << 1 if value >= 0 else -value * 2 - 1


def signature_info(key_id: str = "vn", version: str = "v1", algorithm: str = OID) -> bytes:
    return bytes_field(3, version.encode()) + bytes_field(4, key_id.encode()) + bytes_field(5, algorithm.encode())


def key(
    data: bytes,
    start: int = START,
    *,
    period: int | None = 144,
    report_type: int | None = 1,
    onset: int | None = 0,
    extra: bytes = b"",
) -> bytes:
    out = bytes_field(1, data) + number_field(2, 3) + number_field(3, start)
    out += b"" if period is None else number_field(4, period)
    out += b"" if report_type is None else number_field(5, report_type)
    return out + (b"" if onset is None else number_field(6, zigzag(onset))) + extra


@dataclass
class Handmade:
    """An export in pieces; change one and look what a reader says."""

    keys: Sequence[bytes] = (key(bytes(range(16))), key(bytes(range(16, 32))))
    revised: Sequence[bytes] = ()
    infos: Sequence[bytes] = (signature_info(),)
    batch: tuple[int, int] = (1, 1)
    front: bytes = b""
    tail: bytes = b""
    signers: Sequence[ec.EllipticCurvePrivateKey] = field(default_factory=lambda: [private_key(1)])

    def binary(self) -> bytes:
        header = (
            varint(1 << 3 | 1)
            + struct.pack("<Q", 1_620_000_000)
            + varint(2 << 3 | 1)
            + struct.pack("<Q", 1_620_003_600)
            + bytes_field(3, b"vn")
            + number_field(4, self.batch[0])
            + number_field(5, self.batch[1])
        )
        infos = b"".join(bytes_field(6, info) for info in self.infos)
        keys = b"".join(bytes_field(7, each) for each in self.keys)
        revised = b"".join(bytes_field(8, each) for each in self.revised)
        return MAGIC + self.front + header + infos + keys + revised + self.tail

    def signatures(self) -> bytes:
        return b"".join(
            bytes_field(
                1,
                bytes_field(1, info)
                + number_field(2, self.batch[0])
                + number_field(3, self.batch[1])
                + bytes_field(4, signer.sign(self.binary(), ec.ECDSA(SHA256()))),
            )
            for info, signer in zip(self.infos, self.signers, strict=True)
        )

    def zip(self, **others: bytes) -> io.BytesIO:
        return zipped({"export.bin": self.binary(), "export.sig": self.signatures(), **others})


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out
