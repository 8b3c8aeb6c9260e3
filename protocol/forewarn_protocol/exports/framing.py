"""The outermost layer of a protobuf message, walked field by field in a stream that never is in memory whole."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from forewarn_protocol.errors import BadExport

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_FIELD_BYTES: Final = 4096
"""The longest value that is handed out; a key needs about 40 bytes, a signature info about 80."""

_CHUNK_BYTES: Final = 1 << 16
# A tag and a length, ten bytes each at most, and eight bytes of a fixed value.
_LOOK_AHEAD_BYTES: Final = 32
_MAX_VARINT_BYTES: Final = 10
_MAX_FIELD_NUMBER: Final = 2**29 - 1
_FIXED_BYTES: Final = {FIXED64: 8, FIXED32: 4}


def walk(
    read: Callable[[int], bytes], wanted: Mapping[int, int], most_fields: int
) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of the fields in `wanted`, which maps a number to its wire type; skip all others.

    A varint or a fixed value is an int, a length-delimited one bytes. A field in another wire type than wanted is
    skipped like an unknown one, as protobuf does.

    Raises:
        BadExport: a varint, a length or a value is cut off; a group; a wanted value of over 4096 bytes; or more than
            `most_fields`, wanted or not: each costs time, and two bytes are enough for one.
    """
    buffer, at = b"", 0
    for count in itertools.count():
        if len(buffer) - at < _LOOK_AHEAD_BYTES:
            buffer, at = _refill(read, buffer, at, _LOOK_AHEAD_BYTES), 0
            if not buffer:
                return
        if count >= most_fields:
            raise BadExport(f"an export holds over {most_fields} fields")
        tag, at = _varint(buffer, at)
        number, wire_type = tag >> 3, tag & 0b111
        if not 1 <= number <= _MAX_FIELD_NUMBER:
            raise BadExport("an export holds a field with an impossible number")
        is_wanted = wanted.get(number) == wire_type
        if wire_type == VARINT:
            value, at = _varint(buffer, at)
            if is_wanted:
                yield number, value
            continue
        size, at = _size(wire_type, buffer, at)
        if is_wanted:
            data, buffer, at = _take(read, buffer, at, size)
            yield number, data if wire_type == LENGTH_DELIMITED else int.from_bytes(data, "little")
        else:
            buffer, at = _skip(read, buffer, at, size)


def _size(wire_type: int, buffer: bytes, at: int) -> tuple[int, int]:
    if wire_type == LENGTH_DELIMITED:
        return _varint(buffer, at)
    if wire_type not in _FIXED_BYTES:
        raise BadExport("an export holds a protobuf group, which the format does not know")
    return _FIXED_BYTES[wire_type], at


def _refill(read: Callable[[int], bytes], buffer: bytes, at: int, needed: int) -> bytes:
    parts, have = [buffer[at:]], len(buffer) - at
    # A reader may give less than it was asked for; only nothing means the end.
    while have < needed and (chunk := read(_CHUNK_BYTES)):
        parts.append(chunk)
        have += len(chunk)
    return b"".join(parts)


def _take(read: Callable[[int], bytes], buffer: bytes, at: int, size: int) -> tuple[bytes, bytes, int]:
    if size > MAX_FIELD_BYTES:
        raise BadExport(f"an export holds a field of {size} bytes where at most {MAX_FIELD_BYTES} make sense")
    if len(buffer) - at < size:
        buffer, at = _refill(read, buffer, at, size), 0
    data = buffer[at : at + size]
    if len(data) < size:
        raise BadExport("an export is cut off inside a field")
    return data, buffer, at + size


def _skip(read: Callable[[int], bytes], buffer: bytes, at: int, size: int) -> tuple[bytes, int]:
    left = size - (len(buffer) - at)
    if left <= 0:
        return buffer, at + size
    while chunk := read(_CHUNK_BYTES):
        if len(chunk) >= left:
            return chunk, left
        left -= len(chunk)
    raise BadExport("an export is cut off inside a field")


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = 0
    for offset in range(min(_MAX_VARINT_BYTES, len(buffer) - at)):
        byte = buffer[at + offset]
        value |= (byte & 0x7F) << 7 * offset
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that another byte follows
            return value, at + offset + 1
    raise BadExport("an export is cut off inside a number, or holds one of over ten bytes")
