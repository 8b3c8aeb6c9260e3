"""31 bytes on the air ⇄ the payload: one Rolling Proximity Identifier and its encrypted metadata."""

from dataclasses import dataclass, field
from typing import Final, Self

from forewarn_protocol.errors import BadAdvertisement
from forewarn_protocol.identifiers import AEM_BYTES, RPI_BYTES, EncryptedMetadata, RollingProximityIdentifier

EXPOSURE_NOTIFICATION_UUID: Final = 0xFD6F
"""Allocated to the Exposure Notification companies: a deployment needs their permission, or another UUID."""
MAX_ADVERTISEMENT_BYTES: Final = 31
SERVICE_DATA_BYTES: Final = RPI_BYTES + AEM_BYTES

_FLAGS: Final = bytes([0x02, 0x01, 0x1A])
_COMPLETE_UUIDS_16: Final = 0x03
_SERVICE_DATA_16: Final = 0x16
_UUID_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Payload:
    """What a device says: 16 bytes of RPI, 4 bytes of AEM."""

    rpi: RollingProximityIdentifier = field(repr=False)
    aem: EncryptedMetadata = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.rpi) != RPI_BYTES or len(self.aem) != AEM_BYTES:
            raise BadAdvertisement("a payload is 16 bytes of identifier and 4 of metadata")

    @classmethod
    def from_service_data(cls, data: bytes) -> Self:
        """Split the 20 bytes of service data."""
        if len(data) != SERVICE_DATA_BYTES:
            raise BadAdvertisement(f"service data has {len(data)} bytes instead of {SERVICE_DATA_BYTES}")
        return cls(RollingProximityIdentifier(data[:RPI_BYTES]), EncryptedMetadata(data[RPI_BYTES:]))

    @property
    def service_data(self) -> bytes:
        """The 20 bytes as they stand in the advertisement."""
        return self.rpi + self.aem


def encode(payload: Payload, *, flags: bool = True, service_uuid: int = EXPOSURE_NOTIFICATION_UUID) -> bytes:
    """Lay out the advertisement: 31 bytes, or 28 without the Flags that some stacks leave out."""
    uuid = service_uuid.to_bytes(_UUID_BYTES, "little")
    service_data = uuid + payload.service_data
    return (
        (_FLAGS if flags else b"")
        + bytes([1 + len(uuid), _COMPLETE_UUIDS_16])
        + uuid
        + bytes([1 + len(service_data), _SERVICE_DATA_16])
        + service_data
    )


def decode(data: bytes, *, service_uuid: int = EXPOSURE_NOTIFICATION_UUID) -> Payload:
    """Find the payload in an advertisement, whatever else it carries and in whatever order.

    Only the service data counts: real Android phones omit Flags, and some stacks the list of UUIDs.

    Raises:
        BadAdvertisement: longer than 31 bytes, cut off, or without 20 bytes of service data for `service_uuid`.
    """
    if len(data) > MAX_ADVERTISEMENT_BYTES:
        raise BadAdvertisement(f"an advertisement has {len(data)} bytes: at most {MAX_ADVERTISEMENT_BYTES} fit")
    uuid = service_uuid.to_bytes(_UUID_BYTES, "little")
    at = 0
    # A length of zero ends the significant part (Core Specification 5.3, vol 3 part C 11).
    while at < len(data) and data[at] != 0:
        end = at + 1 + data[at]
        if end > len(data):
            raise BadAdvertisement("an advertisement is cut off inside a field")
        kind, content = data[at + 1], data[at + 2 : end]
        if kind == _SERVICE_DATA_16 and content[:_UUID_BYTES] == uuid:
            return Payload.from_service_data(content[_UUID_BYTES:])
        at = end
    raise BadAdvertisement("an advertisement holds no service data of Exposure Notification")
