"""Exports that somebody made to harm: zips that lie about themselves, bombs, false signatures, endless fields."""

import io
import random
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from forewarn_protocol.errors import BadExport, NotVerified
from forewarn_protocol.exports import archive, reading
from forewarn_protocol.exports.reading import ExportFile, ExportLimits
from forewarn_protocol.matching import SightingIndex, match
from tests.client.meetings import confirmed, heard, key_of_day
from tests.peak_memory import run_measured
from tests.protocol.handmade_exports import (
    MAGIC,
    Handmade,
    bytes_field,
    key,
    number_field,
    private_key,
    signature_info,
    varint,
    zipped,
)
from tests.protocol.handmade_zips import Entry, laid_out

WHOLE = Handmade()
BINARY, SIGNATURES = WHOLE.binary(), WHOLE.signatures()
RIGHT = [private_key(1).public_key()]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points the curve P-256 has."""


def binary(**lies: object) -> Entry:
    return Entry(b"export.bin", BINARY, **lies)  # type: ignore[arg-type]


def signatures(**lies: object) -> Entry:
    return Entry(b"export.sig", SIGNATURES, **lies)  # type: ignore[arg-type]


def read(file: io.BytesIO) -> int:
    """Verify an export and read it to the end."""
    export = ExportFile.open_zip(file)
    export.verify(RIGHT)
    return len(list(export.keys())) + len(list(export.revised_keys()))


PACKED = len(binary().packed())
ZIP64 = struct.pack("<HHQQ", 1, 16, 2**62, 2**40)


@pytest.mark.parametrize(
    "file",
    [
        lambda: laid_out([binary(), signatures()], at={1: 0}),
        lambda: laid_out([binary(), signatures(), Entry(b"third", b"x")], at={2: 0}),
        lambda: laid_out([binary(central={"packed": PACKED + 40}), signatures()]),
        lambda: laid_out([binary(central={"packed": 0xFFFFFFF0}), signatures()]),
        lambda: laid_out([binary(central={"packed": PACKED // 2}), signatures()]),
        lambda: laid_out([binary(central={"size": 20}), signatures()]),
        lambda: laid_out([binary(central={"size": 2**32 - 1}), signatures()]),
        lambda: laid_out([binary(central={"size": 2**32 - 1, "packed": 2**32 - 1, "extra": ZIP64}), signatures()]),
        lambda: laid_out([binary(central={"size": 2**32 - 1, "extra": b"\1\0\4\0abcd"}), signatures()]),
        lambda: laid_out([binary(central={"extra": b"\1\0\xff\xffab"}), signatures()]),
        lambda: laid_out([binary(central={"crc": 1}), signatures()]),
        lambda: laid_out([binary(local={"name": b"export.sig"}), signatures()]),
        lambda: laid_out([binary(local={"flags": 1}, central={"flags": 1}), signatures()]),
        lambda: laid_out([binary(local={"flags": 0x41}, central={"flags": 0x41}), signatures()]),
        lambda: laid_out([binary(local={"flags": 0x20}, central={"flags": 0x20}), signatures()]),
        lambda: laid_out([binary(), signatures(local={"flags": 1}, central={"flags": 1})]),
        lambda: laid_out([binary(), signatures(), signatures()]),
        lambda: laid_out([binary(), Entry(b"export.bin\0later", b""), signatures()]),
        lambda: laid_out([binary(), Entry(b"\xff\xfe", b"", local={"flags": 0x800}, central={"flags": 0x800})]),
        lambda: laid_out([Entry(b".\\export.bin", BINARY), signatures()]),
        lambda: laid_out([binary(body=b"\xff" * 100), signatures()]),
        lambda: laid_out([binary(body=binary().packed()[:-3]), signatures()]),
        lambda: laid_out([]),
    ],
    ids=[
        *("one place for two members", "a third member over the first", "a member that reaches into the next"),
        *("a member larger than the file", "compressed size too small", "size too small", "size at its limit"),
        *("64-bit sizes", "64-bit sizes cut off", "extra field cut off", "wrong checksum"),
        *("another name in the local header", "encrypted", "strongly encrypted", "patched data"),
        *("encrypted export.sig", "export.sig twice", "a name with NUL", "a name that is no UTF-8", "a backslash"),
        *("no deflate stream", "deflate stream cut off", "nothing"),
    ],
)
def test_a_zip_that_lies_about_itself_is_refused_in_one_line(file: Callable[[], io.BytesIO]) -> None:
    with pytest.raises(BadExport) as refused:
        read(file())
    assert "\n" not in refused.value.message
    assert re.search(": (fetch it again|at most|it is no export file)", refused.value.message)


@pytest.mark.parametrize(
    "file",
    [
        lambda: laid_out([binary(), signatures()]),
        lambda: laid_out([binary(deflated=False), signatures(deflated=False)]),
        lambda: laid_out([signatures(), binary()]),
        lambda: laid_out([binary(), signatures()], before=b"#!/bin/sh\n"),
        lambda: laid_out([binary(), signatures()], before=MAGIC),
        lambda: laid_out([binary(local={"crc": 1, "size": 2**31, "packed": 5}), signatures()]),
        lambda: laid_out([binary(descriptor=b"PK\7\x08" + struct.pack("<III", 7, 2**31, 2**31)), signatures()]),
        lambda: laid_out([binary(), Entry(b"./export.bin", b"x"), Entry(b"EXPORT.BIN", b"x"), signatures()]),
        lambda: laid_out([binary(), Entry(b"../../etc/passwd", b"x"), Entry(b"export.bin/", b""), signatures()]),
    ],
    ids=[
        *("by the directory", "stored", "the other order", "something in front", "an export.bin in front"),
        *("local header without truth", "data descriptor without truth", "names that are nearly ours", "other members"),
    ],
)
def test_the_directory_alone_decides_and_what_it_finds_must_verify(file: Callable[[], io.BytesIO]) -> None:
    """Positive control for the lies above, and what others may differ in: the same signed bytes are read."""
    assert read(file()) == 2


def bomb(inflated: int, *, packed_claim: int | None = None) -> io.BytesIO:
    """Return an export that inflates a thousand times, with a stored member behind it that the claim may reach into."""
    lie: dict[str, int | bytes] = {} if packed_claim is None else {"packed": packed_claim}
    behind = Entry(b"behind", random.Random(1).randbytes(inflated // 10), deflated=False)
    return laid_out(
        [Entry(b"export.bin", BINARY + bytes_field(99, bytes(inflated)), central=lie), behind, signatures()]
    )


def test_a_compressed_size_that_is_invented_does_not_hide_a_bombs_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadExport, match="inflates more than 20 times"):
        ExportFile.open_zip(bomb(5_000_000))
    hidden = bomb(5_000_000, packed_claim=400_000)
    with pytest.raises(BadExport, match="overlap"):
        ExportFile.open_zip(hidden)
    # Positive control: where nobody looks at the places, the invented size makes an honest ratio of the bomb's.
    monkeypatch.setattr(archive, "_check_places", lambda *_: None)
    assert ExportFile.open_zip(hidden).key_count == 2


PREPARED = """
import resource
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.exports import archive
from forewarn_protocol.exports.reading import ExportFile, ExportLimits
path, limits = sys.argv[1:]
given = ExportLimits()
if limits == "off":
    archive.MAX_SIGNATURE_FILE_BYTES = 1 << 40
    given = ExportLimits(1 << 40, 1 << 40, 1 << 40)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (64 << 20),) * 2)
"""
OPENED = """
with open(path, "rb") as file:
    try:
        ExportFile.open_zip(file, given)
    except ForewarnError as error:
        print("refused:", error.message)
    except MemoryError:
        print("out of memory")
"""


@pytest.mark.slow
def test_a_bomb_in_export_sig_fills_no_memory_and_without_the_limits_it_does(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(zipped({"export.bin": BINARY, "export.sig": bytes(200 << 20)}).getvalue())
    said, peak_mb = run_measured(PREPARED, OPENED, str(path), "on")
    assert said.startswith("refused: export.sig inflates to")
    assert peak_mb < 8
    # Positive control: in 64 MB of memory the same file is fatal once nobody asks for its size.
    assert run_measured(PREPARED, OPENED, str(path), "off")[0] == "out of memory"
    size_kb = path.stat().st_size // 1024
    figure(f"bomb of {size_kb} kB that inflates to 200 MB: refused with {peak_mb:.1f} MB more memory (bar 8 MB)")


SMALLEST_FIELDS = {
    "batch numbers": number_field(4, 1),
    "empty regions": bytes_field(3, b""),
    "unknown numbers": number_field(99, 0),
    "unknown texts": bytes_field(99, b""),
}


@pytest.mark.parametrize("field", SMALLEST_FIELDS.values(), ids=SMALLEST_FIELDS.keys())
def test_fields_without_end_are_refused_after_as_many_as_keys_could_be(
    field: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MB hold 32 million fields of two bytes: minutes of reading, more on a badge."""
    file = io.BytesIO(BINARY + field * 10_100)
    with pytest.raises(BadExport, match="over 10100 fields"):
        ExportFile.open_bare(file, ExportLimits(keys=50))
    assert ExportFile.open_bare(io.BytesIO(BINARY + field * 9_000), ExportLimits(keys=50)).key_count == 2
    # Positive control: without the limit they all are read.
    monkeypatch.setattr(reading, "_MAX_OTHER_FIELDS", 1 << 40)
    assert ExportFile.open_bare(file, ExportLimits(keys=50)).key_count == 2


def cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.slow
def test_the_worst_file_within_the_limits_costs_seconds(figure: Callable[[str], None]) -> None:
    """A figure, and the shape: twice the bytes of hostile fields cost no more, as the number of fields is bounded."""
    costs = []
    for size in (4 << 20, 32 << 20):
        file = io.BytesIO(BINARY + bytes_field(99, b"") * (size // 3))

        def refuse(file: io.BytesIO = file) -> None:
            with pytest.raises(BadExport, match="fields"):
                ExportFile.open_bare(file)

        costs.append(cpu_s(refuse))
    figure(f"32 MB of the smallest unknown fields: refused after {costs[1]:.1f} s of CPU; 4 MB: {costs[0]:.1f} s")


def signed(signature: bytes) -> io.BytesIO:
    info = bytes_field(1, signature_info()) + bytes_field(4, signature)
    return zipped({"export.bin": BINARY, "export.sig": bytes_field(1, info)})


GOOD = private_key(1).sign(BINARY, ec.ECDSA(SHA256()))
R, S = decode_dss_signature(GOOD)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\x30\x00",
        encode_dss_signature(0, S),
        encode_dss_signature(R, 0),
        encode_dss_signature(0, 0),
        encode_dss_signature(ORDER, S),
        encode_dss_signature(R + ORDER, S),
        encode_dss_signature(R, S + ORDER),
        encode_dss_signature(S, R),
        GOOD + b"\0",
        GOOD[:-1],
        b"\x30\x81" + GOOD[1:],
        R.to_bytes(32) + S.to_bytes(32),
        b"\x30" * 4000,
        private_key(1).sign(BINARY[len(MAGIC) :], ec.ECDSA(SHA256())),
    ],
    ids=[
        *(
            "empty",
            "an empty sequence",
            "r = 0",
            "s = 0",
            "both 0",
            "r = n",
            "r + n",
            "s + n",
            "exchanged",
            "a byte more",
        ),
        *("a byte less", "length in another form", "raw numbers", "nested", "over the bytes without their header"),
    ],
)
def test_a_signature_in_any_other_form_verifies_nothing(signature: bytes) -> None:
    with pytest.raises(NotVerified, match="check the public key"):
        read(signed(signature))


def test_both_signatures_that_the_curve_allows_verify_and_nothing_hangs_on_which() -> None:
    """Whoever has one can make the other: a file is known by the hash in the signed index, never by its signature."""
    assert read(signed(encode_dss_signature(R, ORDER - S))) == read(signed(GOOD)) == 2


def test_a_list_of_signatures_without_end_is_refused_before_one_is_tried() -> None:
    with pytest.raises(BadExport, match="over 16 signatures"):
        read(zipped({"export.bin": BINARY, "export.sig": bytes_field(1, b"") * 8_000}))
    endless = zipped({"export.bin": BINARY, "export.sig": bytes_field(1, b"") * 1_000_000}, zipfile.ZIP_STORED)
    with pytest.raises(BadExport, match="at most 16384"):
        read(endless)


@pytest.mark.parametrize("onset", [-(2**31), -(2**31) + 1, -15, 15, 2**31 - 1])
def test_an_onset_at_the_ends_of_its_type_says_nothing(onset: int) -> None:
    (published,) = ExportFile.open_bare(io.BytesIO(Handmade(keys=[key(bytes(16), onset=onset)]).binary())).keys()
    assert published.days_since_onset is None


@pytest.mark.parametrize("start", [-1, -(2**31), 2**32, 2**63, 2**64 - 1])
def test_a_start_at_the_ends_of_its_type_is_no_interval_or_is_cut_as_protobuf_cuts_it(start: int) -> None:
    export = ExportFile.open_bare(io.BytesIO(Handmade(keys=[key(bytes(16), start)]).binary()))
    low = start & 0xFFFF_FFFF
    if low >> 31:
        with pytest.raises(BadExport, match="key 0"):
            list(export.keys())
    else:
        (published,) = export.keys()
        assert published.tek.rolling_start == low


@pytest.mark.parametrize(
    "inside",
    [
        b"\x0a\x7f" + bytes(16),
        b"\x0a\xff\xff\xff\xff\x0f" + bytes(16),
        b"\x0a\x10" + bytes(15),
        b"\x0a\x90\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + bytes(16),
        b"\x0b\x0b\x0b",
        b"\x0c",
        b"\x07",
    ],
    ids=[
        "longer than the key",
        "4 GB",
        "a byte short",
        "length of eleven bytes",
        "open groups",
        "closed group",
        "type 7",
    ],
)
def test_a_length_that_lies_inside_a_key_damages_that_key(inside: bytes) -> None:
    export = ExportFile.open_bare(io.BytesIO(Handmade(keys=[key(bytes(16)), inside]).binary()))
    keys = export.keys()
    assert next(keys).tek.key == bytes(16)
    with pytest.raises(BadExport, match="key 1 of the export is damaged"):
        next(keys)


def test_a_group_inside_a_key_is_an_unknown_field_and_deep_ones_are_damage() -> None:
    group = varint(99 << 3 | 3) + number_field(1, 1) + varint(99 << 3 | 4)
    export = ExportFile.open_bare(io.BytesIO(Handmade(keys=[key(bytes(16), extra=group)]).binary()))
    (published,) = export.keys()
    assert published.tek.key == bytes(16)
    deep = varint(99 << 3 | 3) * 500 + varint(99 << 3 | 4) * 500
    export = ExportFile.open_bare(io.BytesIO(Handmade(keys=[key(bytes(16), extra=deep)]).binary()))
    with pytest.raises(BadExport, match="damaged"):
        list(export.keys())


def test_half_a_million_copies_of_one_key_that_was_heard_cost_no_more_than_others() -> None:
    at_s = 1_750_075_200.0
    met = confirmed(key_of_day(at_s, 1))
    index = SightingIndex([heard(met.tek, at_s + 4 * number) for number in range(100)])
    few = cpu_s(lambda: list(match([met] * 2, index)))
    many = cpu_s(lambda: list(match([met] * 20_000, index)))
    # A copy that is matched anew costs as much as the first one: 10,000 times the two.
    assert many < 200 * max(few, 0.001)
    (found,) = match([met] * 20_000, index)
    assert len(found.sightings) == 100
