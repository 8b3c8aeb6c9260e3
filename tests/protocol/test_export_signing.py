import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadInput
from forewarn_protocol.exports.signing import public_key_from_base64, public_key_to_base64
from tests.protocol.handmade_exports import private_key

PUBLIC = private_key(1).public_key()
TEXT = public_key_to_base64(PUBLIC)


def spki(key: ec.EllipticCurvePublicKey | Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def test_a_public_key_survives_the_way_through_its_text() -> None:
    assert public_key_from_base64(TEXT).public_numbers() == PUBLIC.public_numbers()
    assert public_key_from_base64(f" {TEXT}\n").public_numbers() == PUBLIC.public_numbers()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%",
        TEXT[:-4],
        TEXT + "AAAA",
        "é" * 50,
        "A" * 5000,
        spki(private_key(1, ec.SECP384R1()).public_key()),
        spki(private_key(1, ec.SECP256K1()).public_key()),
        spki(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()),
    ],
)
def test_only_a_key_on_p_256_is_a_public_key(text: str) -> None:
    with pytest.raises(BadInput, match="P-256"):
        public_key_from_base64(text)


@given(st.text(max_size=200) | st.binary(max_size=120).map(lambda data: base64.b64encode(data).decode()))
def test_random_text_is_no_public_key(text: str) -> None:
    with pytest.raises(BadInput):
        public_key_from_base64(text)
