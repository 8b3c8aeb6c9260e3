from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.advertisement import Payload, decode, encode
from forewarn_protocol.errors import BadAdvertisement
from forewarn_protocol.identifiers import EncryptedMetadata, RollingProximityIdentifier

RPI = RollingProximityIdentifier(bytes(range(16)))
AEM = EncryptedMetadata(bytes(range(16, 20)))
PAYLOAD = Payload(RPI, AEM)
# Laid out by hand from the table of the Bluetooth specification, not by the code under test.
ON_THE_AIR = bytes.fromhex("02011a03036ffd17166ffd" + bytes(range(20)).hex())


def test_an_advertisement_is_31_bytes_flags_uuid_service_data() -> None:
    assert encode(PAYLOAD) == ON_THE_AIR
    assert len(ON_THE_AIR) == 31
    assert decode(ON_THE_AIR) == PAYLOAD


def test_an_advertisement_without_flags_is_understood() -> None:
    assert encode(PAYLOAD, flags=False) == ON_THE_AIR[3:]
    assert decode(ON_THE_AIR[3:]) == PAYLOAD


def test_only_the_service_data_counts() -> None:
    assert decode(ON_THE_AIR[7:]) == PAYLOAD
    assert decode(ON_THE_AIR[7:] + ON_THE_AIR[:7]) == PAYLOAD
    assert decode(ON_THE_AIR[7:] + bytes(4)) == PAYLOAD


def test_the_service_uuid_is_a_setting() -> None:
    other = encode(PAYLOAD, service_uuid=0xFFF6)
    assert decode(other, service_uuid=0xFFF6) == PAYLOAD
    with pytest.raises(BadAdvertisement):
        decode(other)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(31),
        ON_THE_AIR + b"\x00",
        ON_THE_AIR[:-1],
        ON_THE_AIR[:7],
        ON_THE_AIR[:7] + bytes.fromhex("16166ffd") + bytes(19),
        b"\x01",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BadAdvertisement):
        decode(data)


@given(st.binary(max_size=64))
def test_random_bytes_give_a_payload_or_our_error(data: bytes) -> None:
    with suppress(BadAdvertisement):
        decode(data)


@given(st.binary(min_size=20, max_size=20), st.booleans())
def test_what_is_laid_out_is_read_back(service_data: bytes, flags: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    payload = Payload.from_service_data(service_data)
    assert decode(encode(payload, flags=flags)).service_data == service_data


def test_a_payload_never_shows_its_bytes() -> None:
    assert RPI.hex() not in repr(PAYLOAD)
    assert "\\x01" not in repr(PAYLOAD)
