import io
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from forewarn_protocol.errors import BadExport, NotVerified
from forewarn_protocol.exports import archive
from forewarn_protocol.exports.reading import ExportFile, ExportLimits
from forewarn_protocol.keys import ReportType, TemporaryExposureKey
from tests.protocol.handmade_exports import (
    MAGIC,
    START,
    Handmade,
    bytes_field,
    key,
    number_field,
    private_key,
    signature_info,
    varint,
    zipped,
)

RIGHT = [private_key(1).public_key()]
TEK = bytes(range(16))


def opened(export: Handmade) -> ExportFile:
    return ExportFile.open_zip(export.zip())


def teks(export: ExportFile) -> list[TemporaryExposureKey]:
    keys = export.keys()
    return [key.tek for key in keys]


def test_an_export_laid_out_by_hand_is_read_field_by_field() -> None:
    full = key(TEK, START + 5, period=7, report_type=2, onset=-3, extra=number_field(8, 4))
    export = opened(Handmade(keys=[full], revised=[key(TEK, report_type=5)]))
    (read,) = export.keys()
    assert (read.tek.key, read.tek.rolling_start, read.tek.rolling_period) == (TEK, START + 5, 7)
    assert (read.report_type, read.days_since_onset) == (ReportType.CONFIRMED_CLINICAL_DIAGNOSIS, -3)
    assert (read.transmission_risk, read.variant_of_concern) == (3, 4)
    assert [revised.report_type for revised in export.revised_keys()] == [ReportType.REVOKED]
    assert (export.key_count, export.revised_key_count) == (1, 1)
    header = export.header
    assert (header.start_s, header.end_s, header.region) == (1_620_000_000, 1_620_003_600, "vn")
    assert (header.batch_num, header.batch_size) == (1, 1)


def test_zip_or_bare_is_told_by_the_first_bytes_wherever_the_file_stands() -> None:
    handmade = Handmade(keys=[key(TEK)])
    for file, signed in ((handmade.zip(), True), (io.BytesIO(handmade.binary()), False)):
        file.seek(5)
        export = ExportFile.open(file)
        assert [tek.key for tek in teks(export)] == [TEK]
        if signed:
            export.verify(RIGHT)
        else:
            with pytest.raises(NotVerified, match="no signature"):
                export.verify(RIGHT)
    for nothing in (b"", MAGIC[:-1], b"PK"):
        with pytest.raises(BadExport):
            ExportFile.open(io.BytesIO(nothing))
    for body in (handmade.binary(), handmade.zip().getvalue()):
        with pytest.raises(BadExport):
            ExportFile.open(io.BytesIO(body), ExportLimits(inflated_bytes=20))


def test_an_export_verifies_with_its_key_and_with_no_other() -> None:
    export = opened(Handmade())
    assert export.verify([private_key(2).public_key(), *RIGHT]).key_id == "vn"
    with pytest.raises(NotVerified):
        export.verify([private_key(2).public_key()])
    with pytest.raises(NotVerified):
        export.verify([])


def test_one_of_several_signatures_is_enough_and_is_named() -> None:
    export = opened(
        Handmade(
            infos=[signature_info("old", "v1"), signature_info("new", "v2")], signers=[private_key(1), private_key(2)]
        )
    )
    assert [info.key_id for info in export.header.signature_infos] == ["old", "new"]
    assert export.verify([private_key(2).public_key()]).key_id == "new"
    assert export.verify([private_key(1).public_key()]).key_id == "old"


@pytest.mark.parametrize("at", [0, 16, 40, -1])
def test_a_signature_covers_every_byte_of_export_bin_and_its_header(at: int) -> None:
    whole = Handmade()
    binary = bytearray(whole.binary())
    binary[at] ^= 1
    file = zipped({"export.bin": bytes(binary), "export.sig": whole.signatures()})
    with pytest.raises((NotVerified, BadExport)):
        ExportFile.open_zip(file).verify(RIGHT)


def test_a_text_in_place_of_the_object_identifier_decides_nothing() -> None:
    export = opened(Handmade(infos=[signature_info(algorithm="ECDSA p-256 SHA-256")]))
    assert export.verify(RIGHT).algorithm == "ECDSA p-256 SHA-256"


def test_the_old_fields_1_and_2_of_a_signature_info_are_ignored() -> None:
    old = bytes_field(1, b"an.app") + bytes_field(2, b"an.android.app") + signature_info("310")
    export = opened(Handmade(infos=[old]))
    assert [info.key_id for info in export.header.signature_infos] == ["310"]
    assert export.verify(RIGHT).key_id == "310"


def test_other_members_of_the_zip_are_ignored() -> None:
    export = ExportFile.open_zip(Handmade().zip(**{"readme.txt": b"hello", "../../etc/passwd": b"x"}))
    assert export.verify(RIGHT).key_id == "vn"
    assert export.key_count == 2


def test_a_start_that_is_no_midnight_stands() -> None:
    assert [tek.rolling_start for tek in teks(opened(Handmade(keys=[key(TEK, START + 77)])))] == [START + 77]


@pytest.mark.parametrize("length", [0, 15, 17, 32, 52])
def test_a_key_of_another_length_than_16_is_refused_by_its_place(length: int) -> None:
    export = opened(Handmade(keys=[key(TEK), key(b"\1" * length)]))
    with pytest.raises(BadExport, match=f"key 1 .* {length} bytes"):
        list(export.keys())


@pytest.mark.parametrize("period", [0, 145, 2**31, -1])
def test_an_impossible_rolling_period_is_refused(period: int) -> None:
    with pytest.raises(BadExport, match="key 0"):
        list(opened(Handmade(keys=[key(TEK, period=period)])).keys())


def test_an_absent_rolling_period_is_a_whole_day() -> None:
    assert [tek.rolling_period for tek in teks(opened(Handmade(keys=[key(TEK, period=None)])))] == [144]


def test_duplicate_keys_come_twice() -> None:
    export = opened(Handmade(keys=[key(TEK), key(TEK)]))
    assert export.key_count == 2
    assert [tek.key for tek in teks(export)] == [TEK, TEK]


def test_file_1_of_7_says_so_and_is_read() -> None:
    export = opened(Handmade(batch=(1, 7)))
    assert (export.header.batch_num, export.header.batch_size) == (1, 7)
    assert export.verify(RIGHT).key_id == "vn"


def test_a_negative_batch_number_is_read_as_protobuf_writes_it() -> None:
    header = opened(Handmade(batch=(-1, -7))).header
    assert (header.batch_num, header.batch_size) == (-1, -7)


def test_a_signature_on_another_curve_is_no_signature() -> None:
    other = private_key(1, ec.SECP384R1())
    export = opened(Handmade(signers=[other]))
    with pytest.raises(NotVerified):
        export.verify(RIGHT)


def test_an_export_without_export_sig_is_read_and_not_verified() -> None:
    export = ExportFile.open_zip(zipped({"export.bin": Handmade().binary()}))
    assert export.key_count == 2
    with pytest.raises(NotVerified, match="no signature"):
        export.verify(RIGHT)


def test_a_missing_report_type_or_onset_is_none_and_an_unheard_of_one_is_unknown() -> None:
    keys = [key(TEK, report_type=None, onset=None), key(TEK, report_type=9), key(TEK, onset=99)]
    export = opened(Handmade(keys=keys))
    missing, future, far = export.keys()
    assert (missing.report_type, missing.days_since_onset) == (None, None)
    assert future.report_type is ReportType.UNKNOWN
    assert far.days_since_onset is None


def test_a_bare_export_bin_is_read() -> None:
    export = ExportFile.open_bare(io.BytesIO(Handmade().binary()))
    assert export.key_count == 2
    assert len(list(export.keys())) == 2


def test_two_walks_over_one_file_do_not_disturb_each_other() -> None:
    keys = [key(number.to_bytes(16)) for number in range(5000)]
    for export in (
        opened(Handmade(keys=keys, revised=keys)),
        ExportFile.open_bare(io.BytesIO(Handmade(keys=keys, revised=keys).binary())),
    ):
        assert all(a.tek.key == b.tek.key for a, b in zip(export.keys(), export.revised_keys(), strict=True))


@pytest.mark.parametrize(
    "unknown",
    [
        bytes_field(99, random.Random(1).randbytes(200_000)),
        number_field(99, 2**63),
        varint(99 << 3 | 1) + bytes(8),
        varint(99 << 3 | 5) + bytes(4),
        number_field(7, 5),
        varint(8 << 3 | 1) + bytes(8),
        bytes_field(1, b"not a time"),
    ],
)
def test_unknown_fields_and_known_ones_of_another_type_are_skipped(unknown: bytes) -> None:
    for export in (opened(Handmade(front=unknown)), opened(Handmade(tail=unknown))):
        assert export.key_count == 2
        assert len(list(export.keys())) == 2
        assert export.header.start_s == 1_620_000_000
        assert export.verify(RIGHT).key_id == "vn"


@pytest.mark.parametrize(
    "tail",
    [
        b"\x80",
        b"\xff" * 10,
        b"\xff" * 11,
        varint(7 << 3 | 2),
        varint(7 << 3 | 2) + b"\x80",
        varint(7 << 3 | 2) + b"\x05abcd",
        varint(99 << 3 | 2) + varint(2**40) + b"x",
        varint(7 << 3 | 2) + varint(2**64 - 1),
        varint(1 << 3 | 1) + bytes(7),
        varint(99 << 3 | 5) + bytes(3),
        varint(99 << 3),
        varint(99 << 3 | 3),
        varint(99 << 3 | 4),
        varint(99 << 3 | 6),
        b"\x00",
        bytes_field(7, bytes(5000)),
        bytes_field(6, bytes(5000)),
        bytes_field(3, b"\xff\xfe"),
        bytes_field(3, b"\x1b[2J"),
        bytes_field(3, b"x" * 201),
        bytes_field(6, bytes_field(4, b"x" * 201)),
        bytes_field(6, b"\xff"),
        bytes_field(6, bytes_field(4, b"\xff")),
        varint(2 << 3 | 1) + struct.pack("<Q", 1_620_003_600_000),
    ],
)
def test_what_is_cut_off_or_impossible_in_the_framing_is_refused_on_opening(tail: bytes) -> None:
    with pytest.raises(BadExport):
        opened(Handmade(tail=tail))


def test_a_damaged_key_is_refused_by_its_place() -> None:
    export = opened(Handmade(keys=[key(TEK), b"\x0a\x10short"]))
    with pytest.raises(BadExport, match="key 1"):
        list(export.keys())


def test_a_damaged_export_sig_is_refused() -> None:
    export = ExportFile.open_zip(zipped({"export.bin": Handmade().binary(), "export.sig": b"\x0a\xff"}))
    with pytest.raises(BadExport):
        export.verify(RIGHT)


@pytest.mark.parametrize(
    "file",
    [b"", b"PK", b"x" * 1000, MAGIC, b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18],
)
def test_what_is_no_export_is_said_to_be_none(file: bytes) -> None:
    with pytest.raises(BadExport):
        ExportFile.open_zip(io.BytesIO(file))


def test_a_device_without_end_is_no_zip_and_is_not_read_for_ever() -> None:
    with Path("/dev/zero").open("rb") as endless, pytest.raises(BadExport, match="no zip"):
        ExportFile.open_zip(endless, ExportLimits(compressed_bytes=1 << 20))


@pytest.mark.parametrize("file", [b"", MAGIC[:-1], b"EK Export v2    ", b"PK\x03\x04" + bytes(100)])
def test_what_does_not_start_like_an_export_bin_is_refused(file: bytes) -> None:
    with pytest.raises(BadExport):
        ExportFile.open_bare(io.BytesIO(file))
    with pytest.raises(BadExport):
        ExportFile.open_zip(zipped({"export.bin": file}))


def test_a_zip_without_export_bin_is_refused() -> None:
    with pytest.raises(BadExport, match=r"no export\.bin"):
        ExportFile.open_zip(zipped({"something.else": b"x"}))


def test_a_zip_with_two_export_bins_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive_file:
        archive_file.writestr("export.bin", Handmade().binary())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive_file.writestr("export.bin", Handmade(keys=[]).binary())
    with pytest.raises(BadExport, match="twice"):
        ExportFile.open_zip(out)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_stored_and_deflated_members_are_read(compression: int) -> None:
    with pytest.raises(BadExport, match="compression"):
        ExportFile.open_zip(zipped({"export.bin": Handmade().binary()}, compression))


class Inflating:
    """Counts what zlib is asked to inflate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        real = zlib.decompressobj

        def counted(*args: Any) -> object:
            self.calls += 1
            return real(*args)

        monkeypatch.setattr(zlib, "decompressobj", counted)


BOMB = bytes(20_000_000)


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: zipped({"export.bin": MAGIC + BOMB}),
        lambda: zipped({"export.bin": Handmade().binary(), "export.sig": BOMB}),
        lambda: zipped({f"{n}": b"" for n in range(16)} | {"export.bin": Handmade().binary()}),
        lambda: zipped({"export.bin": Handmade().binary(), "a" * 17_000: b""}),
    ],
    ids=["export.bin", "export.sig", "members", "directory"],
)
def test_a_zip_bomb_is_refused_before_anything_is_inflated(
    bomb: Callable[[], io.BytesIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bomb()
    inflating = Inflating(monkeypatch)
    with pytest.raises(BadExport):
        ExportFile.open_zip(file)
    assert inflating.calls == 0
    # Positive control: the counter sees the inflating of an honest file.
    assert ExportFile.open_zip(Handmade().zip()).key_count == 2
    assert inflating.calls > 0


def test_a_member_that_lies_about_its_size_is_refused_and_not_inflated_further() -> None:
    honest = zipped({"export.bin": Handmade(tail=bytes_field(99, bytes(5_000_000))).binary()}).getvalue()
    true_size = struct.pack("<I", len(Handmade(tail=bytes_field(99, bytes(5_000_000))).binary()))
    assert honest.count(true_size) == 2
    file = io.BytesIO(honest.replace(true_size, struct.pack("<I", 1000)))
    tracemalloc.start()
    with pytest.raises(BadExport):
        ExportFile.open_zip(file)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ExportLimits(compressed_bytes=100), "at most 100"),
        (ExportLimits(inflated_bytes=100), "at most 100"),
        (ExportLimits(keys=1), "over 1 keys"),
    ],
)
def test_each_limit_is_kept(limits: ExportLimits, words: str) -> None:
    with pytest.raises(BadExport, match=words):
        ExportFile.open_zip(Handmade().zip(), limits)
    assert ExportFile.open_zip(Handmade().zip(), ExportLimits(5000, 5000, 20, 2)).key_count == 2


def test_a_bare_export_keeps_the_limit_too() -> None:
    with pytest.raises(BadExport, match="at most 100"):
        ExportFile.open_bare(io.BytesIO(Handmade().binary()), ExportLimits(inflated_bytes=100))


def test_too_many_signatures_are_refused() -> None:
    with pytest.raises(BadExport, match="over 16"):
        opened(Handmade(infos=[signature_info()] * 17, signers=[private_key(1)] * 17))
    binary = Handmade()
    many = Handmade(infos=[signature_info()] * 17, signers=[private_key(1)] * 17).signatures()
    export = ExportFile.open_zip(zipped({"export.bin": binary.binary(), "export.sig": many}))
    with pytest.raises(BadExport, match="over 16"):
        export.verify(RIGHT)


def test_a_zip_of_the_64_bit_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    file = Handmade().zip()
    monkeypatch.undo()
    assert b"PK\x06\x07" in file.getvalue()
    with pytest.raises(BadExport, match="64-bit"):
        ExportFile.open_zip(file)


def test_a_zip_with_a_comment_is_read_and_an_endless_directory_is_not() -> None:
    out = Handmade().zip()
    with zipfile.ZipFile(out, "a") as archive_file:
        archive_file.comment = b"made by hand"
    assert ExportFile.open_zip(out).key_count == 2
    data = bytearray(out.getvalue())
    at = data.rfind(b"PK\x05\x06") + 12
    data[at : at + 4] = struct.pack("<I", archive._MAX_DIRECTORY_BYTES + 1)
    with pytest.raises(BadExport, match="members"):
        ExportFile.open_zip(io.BytesIO(bytes(data)))


class Failing(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002 - the signature of io.BytesIO
        raise OSError(5, "Input/output error")


def test_a_fault_of_the_disk_is_not_called_a_damaged_file() -> None:
    with pytest.raises(OSError, match="Input/output error"):
        ExportFile.open_zip(Failing(Handmade().zip().getvalue()))


def test_a_directory_that_points_before_the_file_is_damage_on_a_real_file_too(tmp_path: Path) -> None:
    data = bytearray(Handmade().zip().getvalue())
    at = data.rfind(b"PK\x05\x06") + 16
    data[at : at + 4] = struct.pack("<I", len(data) * 2)
    path = tmp_path / "export.zip"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(BadExport, match="damaged"):
        ExportFile.open_zip(file)
