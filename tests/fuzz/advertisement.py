"""Advertisements: what is heard on the air."""

from collections.abc import Mapping

from forewarn_protocol.advertisement import MAX_ADVERTISEMENT_BYTES, Payload, decode, encode
from forewarn_protocol.errors import BadAdvertisement
from forewarn_protocol.identifiers import EncryptedMetadata, RollingProximityIdentifier
from tests.fuzz.target import Target

_PAYLOAD = Payload(RollingProximityIdentifier(bytes(range(16))), EncryptedMetadata(b"\x40\x05\0\0"))
_APPLE = bytes.fromhex("0cff4c001005031c5a1c44")
_SERVICE_DATA = encode(_PAYLOAD, flags=False)[4:]


def check(data: bytes) -> None:
    try:
        payload = decode(data)
    except BadAdvertisement:
        return
    assert len(data) <= MAX_ADVERTISEMENT_BYTES
    assert payload.service_data in data
    for flags in (True, False):
        assert decode(encode(payload, flags=flags)) == payload


def seeds() -> Mapping[str, bytes]:
    return {
        "with-flags": encode(_PAYLOAD),
        "without-flags": encode(_PAYLOAD, flags=False),
        "service-data-alone": _SERVICE_DATA,
        "after-another-field": b"\x02\x0a\xec" + _SERVICE_DATA,
        "then-nothing-more": _SERVICE_DATA + bytes(5),
    }


TARGET = Target(check, seeds, (b"\x17\x16\x6f\xfd", b"\x03\x03\x6f\xfd", b"\x02\x01\x1a", _APPLE), 64)
