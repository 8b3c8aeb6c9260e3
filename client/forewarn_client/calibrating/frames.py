"""What two devices on a bench say in place of an identifier and its metadata: 20 bytes, and no key derives them.

A neighbour who records them finds them in no published key's identifiers. The last four bytes are a tag over the others
under the bench's word: it tells these frames from identifiers and other benches, and is no protection against somebody
who guesses the word.
"""

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from forewarn_client.calibrating.estimating import Heard, Known
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES, Payload
from forewarn_protocol.errors import BadInput

SESSION_BYTES: Final = 3
IDENTITY_BYTES: Final = 2
MOST_ORIENTATIONS: Final = 15
MOST_SAMPLES: Final = 255
"""Of one orientation: more do not fit into the frame, and say nothing more."""

_MAGIC: Final = b"fw"
_TAG_BYTES: Final = 4
# Magic, role and orientation, identity, session; the reference's power and correction, the median: tenths of dB as
# int16; samples, and their deviation in tenths of dB, as uint8.
_LAYOUT: Final = struct.Struct(f">2sB{IDENTITY_BYTES}s{SESSION_BYTES}s3h2B")
_TENTHS: Final = 10


class _Role(IntEnum):
    DEVICE = 1
    REFERENCE = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """The device under test lies in an orientation, counted from 1; 0 is none yet."""

    session: bytes
    orientation: int


NO_TURN: Final = Turn(bytes(SESSION_BYTES), 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """The reference device is there: which one, what is known of it, and what it has heard of a turn so far."""

    identity: bytes
    known: Known
    turn: Turn = NO_TURN
    heard: Heard | None = None


def encode(frame: Turn | Answer, bench: str) -> Payload:
    """Lay out a frame for the air, in place of identifier and metadata."""
    if isinstance(frame, Turn):
        body = _pack(_Role.DEVICE, bytes(IDENTITY_BYTES), frame, Known(0, 0), None)
    else:
        body = _pack(_Role.REFERENCE, frame.identity, frame.turn, frame.known, frame.heard)
    return Payload.from_service_data(body + _tag(body, bench))


def decode(service_data: bytes, bench: str) -> Turn | Answer | None:
    """Return the frame in service data, None where it is an identifier's, another bench's, or nonsense."""
    body, tag = service_data[: _LAYOUT.size], service_data[_LAYOUT.size :]
    if len(service_data) != SERVICE_DATA_BYTES or not hmac.compare_digest(tag, _tag(body, bench)):
        return None
    magic, kind, identity, session, power, correction, median, samples, deviation = _LAYOUT.unpack(body)
    turn = Turn(session, kind & 0x0F)
    if magic != _MAGIC:
        return None
    if kind >> 4 == _Role.DEVICE:
        return turn
    try:
        known = Known(power / _TENTHS, correction / _TENTHS)
    except BadInput:
        return None
    heard = Heard(median / _TENTHS, deviation / _TENTHS, samples) if samples else None
    return Answer(identity, known, turn, heard) if kind >> 4 == _Role.REFERENCE else None


def _pack(role: _Role, identity: bytes, turn: Turn, known: Known, heard: Heard | None) -> bytes:
    heard = heard or Heard(0, 0, 0)
    return _LAYOUT.pack(
        _MAGIC,
        role << 4 | turn.orientation,
        identity,
        turn.session,
        round(known.tx_power_dbm * _TENTHS),
        round(known.correction_db * _TENTHS),
        round(heard.median_dbm * _TENTHS),
        min(heard.samples, MOST_SAMPLES),
        min(round(heard.deviation_db * _TENTHS), MOST_SAMPLES),
    )


def _tag(body: bytes, bench: str) -> bytes:
    return hmac.digest(b"forewarn calibration " + bench.encode(), body, "sha256")[:_TAG_BYTES]
