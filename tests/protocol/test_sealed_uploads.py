import base64
import hashlib
import hmac
import json
from contextlib import suppress

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn_protocol.errors import BadInput, BadMessage, ForewarnError
from forewarn_protocol.exports.signing import public_key_to_base64
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.sealed_uploads import (
    SEALED_BYTES,
    SealedUpload,
    upload_key_from_base64,
    upload_key_to_base64,
)
from tests.client.honest_server import p256

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TOKEN = "5e" * 32


def fill(characters: int) -> str:
    return "x" * characters


def request(keys: int = 7) -> PublishRequest:
    return PublishRequest(
        keys=tuple(
            PublishedKey(
                key=base64.b64encode(hashlib.sha256(b"%d" % number).digest()[:16]).decode(),
                rolling_start_number=2_700_000 + 144 * number,
                rolling_period=144,
            )
            for number in range(keys)
        ),
        health_authority_id="vn.health",
        verification_payload="none yet",
        hmac_key=bytes(range(32)),
        symptom_onset_interval=2_700_000,
    )


def sealed(keys: int = 7, region: str = "vn", token: str = TOKEN) -> bytes:
    return SealedUpload.of(1_600_000_000, token, request(keys)).seal(KEY.public_key(), region, fill)


# RFC 9180 once more, by the paragraph, for base mode with X25519, HKDF-SHA256 and AES-128-GCM.
KEM_SUITE = b"KEM" + (0x20).to_bytes(2, "big")
HPKE_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 0x01, 0x01))


def labeled_extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")


def labeled_expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labeled + b"\x01", "sha256")[:length]


def context_of(enc: bytes, private: X25519PrivateKey, info: bytes) -> tuple[bytes, bytes]:
    """Return key and base nonce at the receiver (RFC 9180, 4.1 and 5.1)."""
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    both = enc + private.public_key().public_bytes_raw()
    extracted = labeled_extract(KEM_SUITE, b"", b"eae_prk", shared)
    secret = labeled_expand(KEM_SUITE, extracted, b"shared_secret", both, 32)
    psk_id = labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
    context = b"\x00" + psk_id + labeled_extract(HPKE_SUITE, b"", b"info_hash", info)
    scheduled = labeled_extract(HPKE_SUITE, secret, b"secret", b"")
    key = labeled_expand(HPKE_SUITE, scheduled, b"key", context, 16)
    return key, labeled_expand(HPKE_SUITE, scheduled, b"base_nonce", context, 12)


def test_the_independent_derivation_meets_rfc_9180s_own_vector() -> None:
    """RFC 9180, A.1.1: everything that our own check below stands on."""
    private = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    )
    enc = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
    key, nonce = context_of(enc, private, bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"))
    assert key.hex() == "4531685d41d65f03dc48f6b8302c05b0"
    assert nonce.hex() == "56d890e5accaaf011cff4b7d"
    ciphertext = "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    plain = AESGCM(key).decrypt(nonce, bytes.fromhex(ciphertext), b"Count-0")
    assert plain == b"Beauty is truth, truth beauty"


def test_our_bytes_are_opened_by_the_independent_derivation() -> None:
    data = sealed()
    key, nonce = context_of(data[:32], KEY, b"forewarn upload v1vn")
    message = json.loads(AESGCM(key).decrypt(nonce, data[32:], None))
    assert set(message) == {"made", "token", "publish", "padding"}
    assert message["token"] == TOKEN
    assert message["publish"] == {
        "temporaryExposureKeys": json.loads(request().model_dump_json(by_alias=True))["temporaryExposureKeys"],
        "healthAuthorityID": "vn.health",
        "hmacKey": base64.b64encode(bytes(range(32))).decode(),
        "symptomOnsetInterval": 2_700_000,
        "traveler": False,
        "revisionToken": "",
    }
    key, nonce = context_of(data[:32], KEY, b"forewarn upload v1de")
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(nonce, data[32:], None)


def test_what_is_opened_is_the_request_that_the_phone_itself_would_have_sent() -> None:
    opened = SealedUpload.open(sealed(), [OTHER, KEY], "vn")
    assert (opened.made, opened.token) == (1_600_000_000, TOKEN)
    published = opened.request("a certificate")
    assert published.verification_payload == "a certificate"
    assert published.fingerprint() == request().fingerprint()


@pytest.mark.parametrize("keys", [1, 2, 30])
@pytest.mark.parametrize("token", ["t", TOKEN, "t" * 2048])
def test_every_sealed_upload_has_one_size_and_no_two_have_the_same_bytes(keys: int, token: str) -> None:
    one, other = sealed(keys, token=token), sealed(keys, token=token)
    assert len(one) == len(other) == SEALED_BYTES == 8240
    assert one[:32] != other[:32]
    assert one[32:64] != other[32:64]


def refused(data: bytes, keys: list[X25519PrivateKey], region: str) -> None:
    with pytest.raises(BadMessage, match="no sealed upload for this server, or not whole"):
        SealedUpload.open(data, keys, region)


def test_another_key_another_region_or_no_key_opens_nothing() -> None:
    data = sealed()
    refused(data, [OTHER], "vn")
    refused(data, [KEY], "de")
    refused(data, [KEY], "v")
    refused(data, [], "vn")
    assert SealedUpload.open(data, [KEY], "vn")


def test_no_byte_can_be_changed_or_cut_off_or_added() -> None:
    data = sealed()
    for position in (0, 15, 31, 32, 33, 4000, SEALED_BYTES - 17, SEALED_BYTES - 16, SEALED_BYTES - 1):
        refused(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :], [KEY], "vn")
    for other in (b"", data[:31], data[:-1], data + b"\0", bytes(SEALED_BYTES)):
        refused(other, [KEY], "vn")


@pytest.mark.parametrize(
    "publish", [{}, {"temporaryExposureKeys": []}, {"temporaryExposureKeys": [{"key": 1}], "hmacKey": "AAAA"}]
)
def test_a_sealed_message_that_is_no_publish_is_malformed(publish: dict[str, object]) -> None:
    upload = SealedUpload(made=0, token="t", publish=publish)
    opened = SealedUpload.open(upload.seal(KEY.public_key(), "vn", fill), [KEY], "vn")
    with pytest.raises(BadMessage):
        opened.request("a certificate")


PLAIN_BYTES = SEALED_BYTES - 32 - 16
NASTY = [
    b"",
    b"null",
    b"[]",
    b'{"made":1,"token":"t","publish":' + b"[" * 3000,
    b'{"made":1,"token":"t","publish":' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
    b'{"made":1,"token":"t","publish":{"a":' + b"9" * 4299 + b"}}",
    b'{"made":1,"token":"t","publish":{"a":' + b"9" * 4301 + b"}}",
    b'{"made":1,"token":"t","publish":{"a":-' + b"9" * 7000 + b"}}",
    b'{"made":1,"token":"t","publish":{"a":1e999,"b":NaN,"c":-Infinity}}',
    b'{"made":1,"token":"t","publish":{"a":"\\ud800"}}',
    b'{"made":1,"token":"t","publish":{"a":"\xff"}}',
    b'{"made":1,"token":"t","publish":{"verificationPayload":"mine","verification_payload":"mine too"}}',
    b'{"made":-1,"token":"","publish":{}}',
]
some_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(["temporaryExposureKeys", "keys", "hmacKey", "healthAuthorityID", "padding", "revisionToken"])


def opens_quietly(plain: bytes) -> None:
    """Anybody may seal anything: whatever it is, only the family of errors comes out."""
    data = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM).encrypt(
        plain.ljust(PLAIN_BYTES)[:PLAIN_BYTES], KEY.public_key(), info=b"forewarn upload v1vn"
    )
    with suppress(ForewarnError):
        SealedUpload.open(data, [KEY], "vn").request("a certificate")


@pytest.mark.parametrize("plain", NASTY, ids=range(len(NASTY)))
def test_whatever_a_stranger_seals_only_the_family_of_errors_comes_out(plain: bytes) -> None:
    opens_quietly(plain)


@given(st.dictionaries(fields, some_json, max_size=6) | some_json)
@settings(deadline=None, max_examples=50)
def test_whatever_stands_where_the_publish_belongs_only_the_family_of_errors_comes_out(publish: object) -> None:
    opens_quietly(json.dumps({"made": 1, "token": "t", "publish": publish}).encode())


def test_what_is_sealed_is_in_no_repr() -> None:
    shown = repr(SealedUpload.of(0, TOKEN, request()))
    assert TOKEN not in shown
    assert request().keys[0].key not in shown


def test_an_upload_key_is_written_and_read_as_subject_public_key_info() -> None:
    text = upload_key_to_base64(KEY.public_key())
    assert upload_key_from_base64(text) == KEY.public_key()
    for wrong in ("", "AAAA", "not base64", text[:-4], public_key_to_base64(p256(1).public_key())):
        with pytest.raises(BadInput, match="an upload key is"):
            upload_key_from_base64(wrong)
