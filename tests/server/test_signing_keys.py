import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_server.signing_keys import SecretKey, SigningKeys, create_missing

USES = ("export", "feed", "certificate", "code-hash", "token")


def test_keys_are_made_once_and_stay(tmp_path: Path) -> None:
    assert create_missing(tmp_path) == list(USES)
    first = SigningKeys.load(tmp_path)
    assert create_missing(tmp_path) == []
    again = SigningKeys.load(tmp_path)
    assert first.feed.public_base64 == again.feed.public_base64
    assert first.token.secret == again.token.secret


def test_each_use_has_a_key_of_its_own(tmp_path: Path) -> None:
    create_missing(tmp_path)
    keys = SigningKeys.load(tmp_path)
    assert len({keys.export.public_base64, keys.feed.public_base64, keys.certificate.public_base64}) == 3
    assert keys.code_hash.secret != keys.token.secret


def test_the_public_key_is_what_devices_pin(tmp_path: Path) -> None:
    create_missing(tmp_path)
    key = SigningKeys.load(tmp_path).feed
    assert public_key_from_base64(key.public_base64).public_numbers() == key.private.public_key().public_numbers()


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    create_missing(tmp_path)
    keys = SigningKeys.load(tmp_path)
    assert repr(keys.token.secret) not in repr(keys)
    assert "secret" not in repr(keys)
    assert "Private" not in repr(keys)


@pytest.mark.parametrize("use", USES)
def test_a_missing_key_is_named_with_what_to_do(tmp_path: Path, use: str) -> None:
    create_missing(tmp_path)
    (tmp_path / use / "v1").unlink()
    with pytest.raises(Missing, match=f"{use}.*init"):
        SigningKeys.load(tmp_path)


@pytest.mark.parametrize("use", USES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_a_damaged_key_is_one_line(tmp_path: Path, use: str, content: bytes) -> None:
    create_missing(tmp_path)
    (tmp_path / use / "v1").write_bytes(content)
    with pytest.raises(ForewarnError):
        SigningKeys.load(tmp_path)


def test_a_key_on_another_curve_is_refused(tmp_path: Path) -> None:
    create_missing(tmp_path)
    other = generate_private_key(SECP384R1())
    (tmp_path / "feed" / "v1").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadInput, match="P-256"):
        SigningKeys.load(tmp_path)


def test_labels_and_parts_are_never_confused() -> None:
    key = SecretKey("v1", bytes(32))
    macs = [
        key.mac(b"ab", b"c"),
        key.mac(b"a", b"bc"),
        key.mac(b"abc"),
        key.mac(b"ab", b"c", b""),
        key.mac(b"", b"abc"),
    ]
    assert len(set(macs)) == len(macs)


def test_a_secret_shorter_than_32_bytes_is_refused(tmp_path: Path) -> None:
    create_missing(tmp_path)
    (tmp_path / "token" / "v1").write_bytes(base64.b64encode(bytes(31)))
    with pytest.raises(BadInput, match="32 bytes"):
        SigningKeys.load(tmp_path)
