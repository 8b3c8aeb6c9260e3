"""Feeds that a stolen feed key, or an authority's own slip, could sign: no parser crashes, none takes much."""

import base64
import json
import tracemalloc
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from forewarn_protocol.advice import parse_advice
from forewarn_protocol.configuration import parse_configuration
from forewarn_protocol.errors import BadFeed, BadInput
from forewarn_protocol.exports.index import MAX_FILES, MAX_INDEX_BYTES, Index, parse_index_text
from forewarn_protocol.exports.signing import public_key_from_base64, public_key_to_base64
from forewarn_protocol.feeds import Feed
from forewarn_protocol.publishing import PublishRequest
from forewarn_protocol.wire import MAX_PARTS
from tests.peak_memory import run_measured
from tests.protocol.handmade_exports import private_key
from tests.protocol.test_advice import ADVICE
from tests.protocol.test_configuration import CONFIGURATION
from tests.protocol.test_configuration import changed as changed_configuration
from tests.protocol.test_export_index import ENTRY
from tests.protocol.test_export_index import body as index_body

FEEDS: dict[str, tuple[Callable[[bytes], Feed], bytes]] = {
    "index": (Index.parse, index_body(ENTRY)),
    "configuration": (parse_configuration, CONFIGURATION.encode()),
    "advice": (parse_advice, ADVICE.encode()),
}
every_feed = pytest.mark.parametrize(("parse", "valid"), FEEDS.values(), ids=FEEDS.keys())
MEGABYTE = 1 << 20

NO_FEED = {
    "nothing": b"",
    "NUL": b"\0" * 100,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"sequence": 1}'.encode("utf-16"),
    "UTF-32": '{"sequence": 1}'.encode("utf-32"),
    "no UTF-8": b'{"sequence": "\xff\xfe"}',
    "half a surrogate": b'{"sequence": "\\ud800"}',
    "arrays without end": b"[" * 60_000,
    "objects without end": b'{"a":' * 10_000,
    "deep arrays in a field that nobody knows": b'{"later": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a number of 60,000 digits": b'{"sequence": ' + b"9" * 60_000 + b"}",
    "a text without end": b'{"sequence": "' + b"x" * 60_000,
    "two values": b"{}{}",
}


@every_feed
def test_what_is_no_feed_is_said_to_be_none_in_one_line(parse: Callable[[bytes], Feed], valid: bytes) -> None:
    for name, body in NO_FEED.items():
        with pytest.raises(BadFeed) as refused:
            parse(body)
        assert "\n" not in refused.value.message, name
        assert len(refused.value.message) < 300, name
    assert parse(valid)


@every_feed
@pytest.mark.parametrize(
    "number",
    [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1.5", b'"1"', b"true", b"null", b"-1", b"0", b"[1]", b"1" * 400],
)
def test_a_sequence_that_is_no_whole_number_is_refused(
    parse: Callable[[bytes], Feed], valid: bytes, number: bytes
) -> None:
    sequence = json.dumps(json.loads(valid)["sequence"]).encode()
    for before in (b'"sequence": ', b'"sequence":'):
        changed = valid.replace(before + sequence, before + number, 1)
        if changed != valid:
            break
    assert changed != valid
    with pytest.raises(BadFeed, match="sequence"):
        parse(changed)


@every_feed
def test_of_a_field_that_stands_twice_the_last_counts_for_every_reader(
    parse: Callable[[bytes], Feed], valid: bytes
) -> None:
    """The signature is over the bytes, so whoever writes a field twice is the authority itself."""
    twice = valid[:-1] + b', "sequence": 77}'
    assert parse(twice).sequence == json.loads(twice)["sequence"] == 77


def test_an_index_of_a_million_entries_is_refused_by_its_size_and_of_too_many_by_their_number() -> None:
    entry = json.dumps(ENTRY).encode()
    million = b'{"files": [' + entry + (b"," + entry) * 999_999 + b"]}"
    tracemalloc.start()
    with pytest.raises(BadFeed, match=f"at most {MAX_INDEX_BYTES} are read"):
        Index.parse(million)
    assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    tracemalloc.stop()
    many = [{**ENTRY, "path": f"{number}.zip"} for number in range(MAX_FILES + 1)]
    with pytest.raises(BadFeed, match="files"):
        Index.parse(index_body(*many))
    assert len(Index.parse(index_body(*many[1:])).files) == MAX_FILES
    smallest = b'{"files": [' + b"{}," * (MAX_INDEX_BYTES // 3 - 10) + b"{}]}"
    with pytest.raises(BadFeed, match="parts"):
        Index.parse(smallest)


PREPARED = """
from forewarn_protocol.errors import BadFeed
from forewarn_protocol.exports.index import MAX_INDEX_BYTES, Index
from forewarn_protocol.wire import parse_json
item, limit_parts = sys.argv[1].encode(), int(sys.argv[2])
body = b'{"files": [' + item * ((MAX_INDEX_BYTES - 100) // len(item)) + b"0]}"
"""
PARSED = """
try:
    parse_json(Index, body, error=BadFeed, limit_bytes=MAX_INDEX_BYTES, limit_parts=limit_parts)
except BadFeed:
    pass
"""


def peak_mb(item: str, limit_parts: int) -> float:
    return run_measured(PREPARED, PARSED, item, str(limit_parts))[1]


@pytest.mark.slow
def test_the_worst_index_within_its_size_takes_little_memory(figure: Callable[[str], None]) -> None:
    """Once, 2 MB of empty objects took 2,900 MB and eleven seconds: each was described as three faults."""
    worst = max(peak_mb(item, MAX_PARTS) for item in ("{},", "[],", "0,", '"",'))
    assert worst < 64
    # Positive control: without the limit on parts it still is many times as much.
    without = peak_mb("{},", 1 << 40)
    assert without > 2 * worst
    figure(f"worst index of 2 MB: {worst:.0f} MB of memory; without the limit on parts {without:.0f} MB")


def test_a_list_is_read_no_further_than_its_first_wrong_item() -> None:
    keys = b'{"temporaryExposureKeys": [' + b"{}," * 9_000 + b"{}]}"
    with pytest.raises(ValidationError) as refused:
        PublishRequest.model_validate_json(keys)
    # The first key's three fields, and the three that the request lacks; not 27,000 and three.
    assert refused.value.error_count() < 10


@pytest.mark.parametrize(
    "path",
    [
        *("..", "../a.zip", "a/../../b.zip", "a/..", "./a.zip", "a/./b.zip", ".../a.zip", "..a/b.zip", ".a.zip"),
        *("/etc/passwd", "//host/a.zip", "a//b.zip", "a/", "\\\\host\\a.zip", "..\\a.zip", "a\\..\\b.zip"),
        *("%2e%2e/a.zip", "%2E%2e%2fa.zip", "..%2fa.zip", "a%00.zip", "a%5c.zip", "%252e%252e/a.zip"),
        *("C:/a.zip", "c:a.zip", "http://host/a.zip", "//host", "file:a.zip", "a.zip:stream", "a@host/b.zip"),
        *("a\0.zip", "a\n.zip", "a\r\nX: y", "a\t.zip", " a.zip", "a.zip ", "a b.zip", "a\x7f.zip", "a\x1b[2J.zip"),
        *("a?b.zip", "a#b.zip", "a;b.zip", "a&b.zip", "a*b.zip", "a'b.zip", 'a"b.zip', "a|b.zip", "a<b.zip", "~/a"),
        *("\uff0e\uff0e/a.zip", "\u2024\u2024/a.zip", "a\uff0fb.zip", "a\u2215b.zip", "a\u2044b.zip", "a\uff3cb.zip"),
        *("\u0430.zip", "a\u200b.zip", "a\u202e.zip", "\ufeffa.zip", "e\u0301.zip", "\u00e9.zip", "a\u00a0.zip"),
        *("\u0660.zip", "\uff11.zip", "a" * 201, "a/" * 100 + "b", "", "."),
    ],
)
def test_no_way_of_writing_a_path_leaves_the_index_s_folder(path: str) -> None:
    with pytest.raises(BadFeed):
        Index.parse(index_body({**ENTRY, "path": path}))
    with pytest.raises(BadFeed):
        Index.parse(index_body({**ENTRY, "path": "good.zip"}, {**ENTRY, "path": path}))


def test_index_txt_obeys_the_same_rule() -> None:
    for path in (
        "../a.zip",
        "/a.zip",
        "a//b.zip",
        "%2e%2e/a.zip",
        "a\\b.zip",
        "C:a.zip",
        "\uff0e\uff0e/a.zip",
        "a\0.zip",
    ):
        with pytest.raises(BadFeed):
            parse_index_text(f"good.zip\n{path}\n")
    assert parse_index_text("good.zip\nfolder/also-good_1.zip\n") == ("good.zip", "folder/also-good_1.zip")


P256 = private_key(1).public_key()
DER = P256.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_POINT_AT = len(DER) - 65


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def der(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey | x25519.X25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


OTHER_KEYS: dict[str, str] = {
    "P-384": text(der(private_key(1, ec.SECP384R1()).public_key())),
    "P-521": text(der(private_key(1, ec.SECP521R1()).public_key())),
    "secp256k1": text(der(private_key(1, ec.SECP256K1()).public_key())),
    "brainpoolP256r1": text(der(private_key(1, ec.BrainpoolP256R1()).public_key())),
    "Ed25519": text(der(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())),
    "X25519": text(der(x25519.X25519PrivateKey.from_private_bytes(bytes(32)).public_key())),
    "RSA": text(der(rsa.generate_private_key(65537, 2048).public_key())),
    "a byte more": text(DER + b"\0"),
    "a byte less": text(DER[:-1]),
    "a point off the curve": text(DER[:-1] + bytes([DER[-1] ^ 1])),
    "the point of zeros": text(DER[:_POINT_AT] + b"\4" + bytes(64)),
    "the point at infinity": text(bytes.fromhex("3019301306072a8648ce3d020106082a8648ce3d0301070302000000")),
    "a point without its wrapping": text(DER[_POINT_AT:]),
    "a private key": text(private_key(1).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
    "PEM": P256.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "base64 in two lines": text(DER)[:40] + "\n" + text(DER)[40:],
    "base64 without its end": text(DER).rstrip("="),
    "hexadecimal": DER.hex(),
    "nothing": "",
    "no base64": "\u00e4" * 50,
    "too long": "A" * 2_000,
}
every_other_key = pytest.mark.parametrize("key", OTHER_KEYS.values(), ids=OTHER_KEYS.keys())


@every_other_key
def test_what_is_no_public_key_on_p_256_is_none_anywhere(key: str) -> None:
    with pytest.raises(BadInput, match="P-256") as refused:
        public_key_from_base64(key)
    assert len(key) < 20 or key not in refused.value.message
    entry = {"key_id": "vn", "key_version": "v1"}
    right = {**entry, "public_key": public_key_to_base64(P256)}
    for keys in ([{**entry, "public_key": key}], [right, {**entry, "public_key": key}]):
        with pytest.raises(BadFeed, match="export_keys"):
            parse_configuration(changed_configuration(export_keys=keys))
    assert parse_configuration(changed_configuration(export_keys=[right])).public_keys()
