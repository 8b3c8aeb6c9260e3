import hashlib
import hmac
import io
import struct
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from forewarn_client.moving import sealed_file
from forewarn_client.moving.passphrase import Passphrase
from forewarn_client.moving.sealed_file import CHUNK_BYTES, COST, Cost, SealedReader, SealedWriter
from forewarn_protocol.errors import BadInput, ForewarnError, Missing, NotVerified

WORDS = Passphrase.typed("river lantern copper window seven")
CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
HEAD_BYTES = 37 + 32
SEALED_CHUNK = CHUNK_BYTES + 16


def sealed(content: bytes, cost: Cost = CHEAP) -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, WORDS, cost)
    for at in range(0, len(content), 50_000):
        writer.write(content[at : at + 50_000])
    writer.finish()
    assert writer.digest.digest() == hashlib.sha256(content).digest()
    return out.getvalue()


def opened(data: bytes, words: Passphrase = WORDS) -> bytes:
    reader, parts = SealedReader(io.BytesIO(data), words), []
    while part := reader.take(40_000):
        parts.append(part)
    return b"".join(parts)


def content(size: int) -> bytes:
    return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_sealed_is_opened(size: int) -> None:
    data = sealed(content(size))
    assert opened(data) == content(size)
    assert len(data) == HEAD_BYTES + size + 16 * max(1, -(-size // CHUNK_BYTES))


def test_the_bytes_agree_with_an_independent_reading_of_the_layout() -> None:
    data = sealed(content(CHUNK_BYTES + 5))
    magic, version, memory, iterations, lanes, salt = struct.unpack(">14sBIBB16s", data[:37])
    assert (magic, version, memory, iterations, lanes) == (b"forewarn move\n", 1, 8, 1, 1)
    drawn = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=8).derive(
        b"river lantern copper window seven"
    )
    keys = [HKDFExpand(SHA256(), 32, b"forewarn move v1 " + use).derive(drawn) for use in (b"header", b"chunks")]
    assert data[37:69] == hmac.digest(keys[0], data[:37], "sha256")
    cipher = ChaCha20Poly1305(keys[1])
    first = cipher.decrypt(bytes(12), data[69 : 69 + SEALED_CHUNK], None)
    last = cipher.decrypt(bytes(10) + b"\x01\x01", data[69 + SEALED_CHUNK :], None)
    assert first + last == content(CHUNK_BYTES + 5)
    with pytest.raises(InvalidTag):
        cipher.decrypt(bytes(12), data[69 + SEALED_CHUNK :], None)


def chunks_of(data: bytes) -> list[bytes]:
    body = data[HEAD_BYTES:]
    return [body[at : at + SEALED_CHUNK] for at in range(0, len(body), SEALED_CHUNK)]


def with_chunks(data: bytes, order: list[int]) -> bytes:
    chunks = chunks_of(data)
    return data[:HEAD_BYTES] + b"".join(chunks[number] for number in order)


THREE = content(3 * CHUNK_BYTES)
HARMS: dict[str, Callable[[bytes], bytes]] = {
    "the last byte is missing": lambda data: data[:-1],
    "the last chunk is missing": lambda data: with_chunks(data, [0, 1]),
    "all but the first chunk is missing": lambda data: with_chunks(data, [0]),
    "every chunk is missing": lambda data: data[:HEAD_BYTES],
    "the check is cut": lambda data: data[: HEAD_BYTES - 1],
    "the header is cut": lambda data: data[:20],
    "two chunks are exchanged": lambda data: with_chunks(data, [1, 0, 2]),
    "a chunk stands twice": lambda data: with_chunks(data, [0, 0, 1, 2]),
    "the first chunk is missing": lambda data: with_chunks(data, [1, 2]),
    "a byte follows": lambda data: data + b"\0",
    "the last chunk follows itself": lambda data: data + chunks_of(data)[2],
    "a bit of a chunk is flipped": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "a bit of the last tag is flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "another file": lambda _: b"PK\x03\x04" + bytes(1000),
    "an empty file": lambda _: b"",
}


@pytest.fixture(scope="module")
def three_chunks() -> bytes:
    return sealed(THREE)


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_is_not_whole_is_bad_input(three_chunks: bytes, harm: str) -> None:
    with pytest.raises(BadInput):
        opened(HARMS[harm](three_chunks))


@pytest.mark.parametrize(
    ("nonce", "harm"),
    [
        (lambda number, *, last: bytes([number * 0]) * 11 + bytes([last]), "two chunks are exchanged"),
        (lambda number, *, last: number.to_bytes(11, "big") + bytes([last * 0]), "the last chunk is missing"),
    ],
)
def test_without_position_or_end_in_the_nonce_such_a_file_would_open(
    monkeypatch: pytest.MonkeyPatch, nonce: Callable[..., bytes], harm: str
) -> None:
    """Positive control for the checks above."""
    monkeypatch.setattr(sealed_file, "_nonce", nonce)
    harmed = HARMS[harm](sealed(THREE))
    assert len(opened(harmed)) == len(harmed) - HEAD_BYTES - 16 * len(chunks_of(harmed))


@pytest.mark.parametrize("position", [0, 13, 14, 18, 19, 20, 21, 36, 37, 68])
def test_no_part_of_the_header_can_be_changed(three_chunks: bytes, position: int) -> None:
    for bit in (0x01, 0x80):
        changed = bytearray(three_chunks)
        changed[position] ^= bit
        with pytest.raises(ForewarnError):
            SealedReader(io.BytesIO(bytes(changed)), WORDS)


def test_a_wrong_passphrase_is_told_from_damage(three_chunks: bytes) -> None:
    with pytest.raises(NotVerified, match="passphrase is wrong"):
        opened(three_chunks, Passphrase.typed("river lantern copper window eight"))
    with pytest.raises(BadInput, match="damaged or was cut off"):
        opened(HARMS["two chunks are exchanged"](three_chunks))


@pytest.mark.parametrize(
    ("memory", "iterations", "lanes"),
    [(2**32 - 1, 1, 1), (128 * 1024 + 1, 1, 1), (64, 255, 1), (64, 9, 1), (256, 1, 9), (7, 1, 1), (8, 0, 1), (8, 1, 0)],
)
def test_a_header_that_asks_for_too_much_is_refused_before_anything_is_spent(
    monkeypatch: pytest.MonkeyPatch, memory: int, iterations: int, lanes: int
) -> None:
    spent: list[object] = []
    monkeypatch.setattr(sealed_file, "Argon2id", lambda **cost: spent.append(cost))
    header = struct.pack(">14sBIBB16s", b"forewarn move\n", 1, memory, iterations, lanes, bytes(16))
    with pytest.raises(BadInput, match="cost of opening is out of bounds"):
        SealedReader(io.BytesIO(header + bytes(100)), WORDS)
    assert spent == []


def test_a_file_of_a_newer_forewarn_says_so(three_chunks: bytes) -> None:
    with pytest.raises(Missing, match="newer Forewarn"):
        opened(three_chunks[:14] + b"\x02" + three_chunks[15:])


def test_the_products_cost_is_what_rfc_9106_recommends_for_little_memory() -> None:
    assert (COST.memory_kib, COST.iterations, COST.lanes) == (64 * 1024, 3, 4)
    data = sealed(b"a diary", COST)
    assert data[15:21] == struct.pack(">IBB", 64 * 1024, 3, 4)
    assert opened(data) == b"a diary"


def test_without_memory_for_argon2id_one_line_says_so(three_chunks: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sealed_file, "Argon2id", no_memory)
    with pytest.raises(Missing, match="close other programs"):
        opened(three_chunks)


def test_a_file_over_the_limit_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sealed(THREE)
    monkeypatch.setattr(sealed_file, "MAX_FILE_BYTES", len(data))
    assert opened(data) == THREE == opened(sealed(THREE))
    monkeypatch.setattr(sealed_file, "MAX_FILE_BYTES", len(data) - 1)
    with pytest.raises(BadInput, match="larger than"):
        opened(data)
    with pytest.raises(BadInput, match="larger than"):
        sealed(THREE)


def test_two_files_of_one_diary_and_passphrase_have_nothing_in_common() -> None:
    one, other = sealed(THREE), sealed(THREE)
    assert one[21:37] != other[21:37]
    assert one[HEAD_BYTES : HEAD_BYTES + 64] != other[HEAD_BYTES : HEAD_BYTES + 64]
