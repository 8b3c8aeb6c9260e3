import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadAdvertisement
from forewarn_protocol.identifiers import crypt_metadata, identifier, identifier_key, identifiers, metadata_key
from forewarn_protocol.metadata import Confidence, Metadata


@pytest.mark.shared
def test_all_144_official_identifiers(vectors: Path) -> None:
    official = json.loads((vectors / "gaen_crypto_v1_2.json").read_text())
    tek = bytes.fromhex(official["tek"])
    assert identifier_key(tek).hex() == official["rpik"]
    assert metadata_key(tek).hex() == official["aemk"]
    first = official["interval_number_of_generated_key"]
    derived = identifiers(tek, first, 144)
    assert len(official["advertised"]) == 144
    for row in official["advertised"]:
        rpi = derived[row["interval_number"] - first]
        assert rpi.hex() == row["rpi"]
        assert crypt_metadata(tek, rpi, bytes.fromhex(official["ble_metadata"])).hex() == row["aem"]


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1))
def test_identifiers_agree_with_an_independent_derivation(tek: bytes, interval: int) -> None:
    """The library's HKDF object and a block at a time, against our two HMAC calls and one pass over all blocks."""
    rpik = HKDF(SHA256(), 16, None, b"EN-RPIK").derive(tek)
    block = b"EN-RPI" + bytes(6) + interval.to_bytes(4, "little")
    assert identifier(tek, interval) == Cipher(algorithms.AES(rpik), modes.ECB()).encryptor().update(block)  # noqa: S305 - what the protocol demands
    assert metadata_key(tek) == HKDF(SHA256(), 16, None, b"EN-AEMK").derive(tek)


@given(st.binary(min_size=16, max_size=16), st.integers(-128, 127), st.sampled_from(Confidence))
def test_metadata_comes_back_from_the_air(tek: bytes, power: int, confidence: Confidence) -> None:
    rpi = identifier(tek, 2642976)
    metadata = Metadata(power, confidence)
    assert Metadata.decode(crypt_metadata(tek, rpi, crypt_metadata(tek, rpi, metadata.encode()))) == metadata


def test_metadata_is_not_authenticated() -> None:
    """Known attack 5: the flipped bit arrives; the plausible range is what is left to check."""
    tek, rpi = bytes(16), identifier(bytes(16), 2642976)
    aem = bytearray(crypt_metadata(tek, rpi, Metadata(-10).encode()))
    aem[1] ^= 0b0100_0000
    assert Metadata.decode(crypt_metadata(tek, rpi, bytes(aem))).tx_power_dbm == -74


@pytest.mark.parametrize(("power", "plausible"), [(-51, False), (-50, True), (0, True), (20, True), (21, False)])
def test_a_transmit_power_outside_minus_50_to_20_is_implausible(power: int, plausible: bool) -> None:  # noqa: FBT001 - a table's column
    assert Metadata(power).plausible is plausible


def test_metadata_of_version_1_0_says_nothing_about_confidence() -> None:
    assert Metadata.decode(bytes.fromhex("4c080000")).confidence is Confidence.NONE
    assert Metadata.decode(bytes.fromhex("5c080000")).confidence is Confidence.HIGH
    assert Metadata(-8, Confidence.HIGH).encode().hex() == "5cf80000"


def test_metadata_of_another_length_is_refused() -> None:
    with pytest.raises(BadAdvertisement):
        Metadata.decode(bytes(3))
    with pytest.raises(BadAdvertisement):
        Metadata(128)
