"""The four bytes of metadata: protocol version, calibration confidence, transmit power."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from forewarn_protocol.errors import BadAdvertisement
from forewarn_protocol.identifiers import AEM_BYTES

PLAUSIBLE_TX_DBM: Final = range(-50, 21)
"""A sighting whose metadata decrypts to any other transmit power is dropped: damage, or somebody flipping bits."""

_VERSION_1_1: Final = 0x50


class Confidence(IntEnum):
    """How well the sender's transmit power is calibrated."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Metadata:
    """A sender's transmit power in dBm (int8) and how well it is known.

    Raises:
        BadAdvertisement: a power that is no int8.
    """

    tx_power_dbm: int
    confidence: Confidence = Confidence.NONE

    def __post_init__(self) -> None:
        if not -128 <= self.tx_power_dbm <= 127:  # noqa: PLR2004 - the bounds of int8
            raise BadAdvertisement("a transmit power must be an int8 in dBm")

    def encode(self) -> bytes:
        """Return the four bytes, in the form of protocol version 1.1."""
        return bytes([_VERSION_1_1 | self.confidence << 2, self.tx_power_dbm & 0xFF, 0, 0])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read four decrypted bytes; a version before 1.1 says nothing about confidence."""
        if len(data) != AEM_BYTES:
            raise BadAdvertisement(f"metadata has {len(data)} bytes instead of {AEM_BYTES}")
        version, power = data[0], int.from_bytes(data[1:2], signed=True)
        confidence = Confidence(version >> 2 & 0b11) if version & 0xF0 >= _VERSION_1_1 else Confidence.NONE
        return cls(power, confidence)

    @property
    def plausible(self) -> bool:
        """Whether the transmit power is one that a real device can have."""
        return self.tx_power_dbm in PLAUSIBLE_TX_DBM
