"""Zips laid out field by field, so that local headers and the directory can lie, each by itself."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Entry:
    """One member; what is None is told truly. `local` and `central` override fields of one header by name."""

    name: bytes
    data: bytes
    deflated: bool = True
    local: dict[str, int | bytes] = field(default_factory=dict)
    central: dict[str, int | bytes] = field(default_factory=dict)
    descriptor: bytes = b""
    body: bytes | None = None
    """What lies in the file instead of the compressed data."""

    def packed(self) -> bytes:
        if self.body is not None:
            return self.body
        if not self.deflated:
            return self.data
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.data) + deflate.flush()

    def fields(self) -> dict[str, int | bytes]:
        return {
            "name": self.name,
            "flags": 0x8 if self.descriptor else 0,
            "method": 8 if self.deflated else 0,
            "crc": zlib.crc32(self.data),
            "packed": len(self.packed()),
            "size": len(self.data),
            "extra": b"",
        }


def local_header(fields: dict[str, int | bytes]) -> bytes:
    name, extra = fields["name"], fields["extra"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    numbers = (20, fields["flags"], fields["method"], 0, 33, fields["crc"], fields["packed"], fields["size"])
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", *numbers, len(name), len(extra)) + name + extra


def central_header(fields: dict[str, int | bytes], at: int) -> bytes:
    name, extra = fields["name"], fields["extra"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    numbers = (20, 20, fields["flags"], fields["method"], 0, 33, fields["crc"], fields["packed"], fields["size"])
    lengths = (len(name), len(extra), 0, 0, 0, 0)
    return b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", *numbers, *lengths, at) + name + extra


def laid_out(entries: Sequence[Entry], *, at: dict[int, int] | None = None, before: bytes = b"") -> io.BytesIO:
    """Lay out a zip; `at` gives a member another place than its own, `before` stands in front of it all."""
    out, places = bytearray(before), []
    for entry in entries:
        places.append(len(out))
        fields = entry.fields()
        if entry.descriptor:
            fields |= {"crc": 0, "packed": 0, "size": 0}
        out += local_header(fields | entry.local) + entry.packed() + entry.descriptor
    start = len(out)
    for number, (entry, place) in enumerate(zip(entries, places, strict=True)):
        out += central_header(entry.fields() | entry.central, (at or {}).get(number, place))
    ending = (0, 0, len(entries), len(entries), len(out) - start, start, 0)
    return io.BytesIO(bytes(out) + b"PK\x05\x06" + struct.pack("<HHHHIIH", *ending))
