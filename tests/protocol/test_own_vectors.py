import base64
import json
from pathlib import Path
from typing import Any

import pytest

from forewarn_protocol.advertisement import Payload, decode, encode
from forewarn_protocol.identifiers import (
    EncryptedMetadata,
    crypt_metadata,
    identifier_key,
    identifiers,
    metadata_key,
)
from forewarn_protocol.publishing import PublishedKey
from forewarn_protocol.verification import tekmac
from tests.vectors import derivation

FILE = Path(__file__).parents[1] / "vectors" / "own.json"
OWN: dict[str, Any] = json.loads(FILE.read_text())
DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_vectors_are_what_the_second_derivation_gives() -> None:
    assert derivation.vectors() == OWN


def test_the_second_derivation_agrees_with_the_published_aes_example() -> None:
    """FIPS 197, appendix C.1."""
    key, block = bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")
    assert derivation.aes_128(key, block).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.shared
def test_the_second_derivation_agrees_with_the_official_identifiers(vectors: Path) -> None:
    official = json.loads((vectors / "gaen_crypto_v1_2.json").read_text())
    tek, metadata = bytes.fromhex(official["tek"]), bytes.fromhex(official["ble_metadata"])
    for row in official["advertised"]:
        said = derivation.spoken(tek, row["interval_number"], metadata)
        assert (said["rpi"], said["aem"]) == (row["rpi"], row["aem"])


@pytest.mark.parametrize("key", OWN["keys"], ids=lambda key: key["label"])
def test_what_a_device_speaks_is_what_the_vectors_say(key: dict[str, Any]) -> None:
    tek = bytes.fromhex(key["tek"])
    assert identifier_key(tek).hex() == key["rpik"]
    assert metadata_key(tek).hex() == key["aemk"]
    derived = identifiers(tek, key["rolling_start"], key["rolling_period"])
    for said in key["spoken"]:
        rpi = derived[said["interval"] - key["rolling_start"]]
        aem = crypt_metadata(tek, rpi, bytes.fromhex(key["metadata"]))
        payload = Payload(rpi, EncryptedMetadata(aem))
        assert (rpi.hex(), aem.hex(), encode(payload).hex()) == (said["rpi"], said["aem"], said["advertisement"])
        assert decode(bytes.fromhex(said["advertisement"])) == payload


def test_the_keys_hmac_is_what_the_vectors_say() -> None:
    expected = OWN["tekmac"]
    keys = [
        PublishedKey(
            key=base64.b64encode(bytes.fromhex(key["tek"])).decode(),
            rolling_start_number=key["rolling_start"],
            rolling_period=key["rolling_period"],
            transmission_risk=risk,
        )
        for key, risk in zip(OWN["keys"], expected["transmission_risks"], strict=True)
    ]
    for order in (keys, keys[::-1]):
        assert base64.b64encode(tekmac(order, base64.b64decode(expected["hmac_key"]))).decode() == expected["tekmac"]


def test_the_document_prints_these_vectors() -> None:
    text = DOCUMENT.read_text()
    whole_day = OWN["keys"][0]
    for value in (whole_day["tek"], whole_day["rpik"], whole_day["aemk"], *whole_day["spoken"][0].values()):
        assert str(value) in text
