import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadExport, BadInput
from forewarn_protocol.exports.reading import ExportFile, ExportHeader
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from tests.protocol.handmade_exports import MAGIC, OID, START, private_key

SIGNER = ExportSigner(private_key(1), "vn", "v1")
HEADER = ExportHeader(1_620_000_000, 1_620_003_600, "vn", 2, 7)


def diagnosis_key(number: int, report_type: ReportType | None = ReportType.CONFIRMED_TEST) -> DiagnosisKey:
    return DiagnosisKey(TemporaryExposureKey(number.to_bytes(16), Interval(START), 144), report_type, -1, 2)


KEYS = [diagnosis_key(number) for number in range(10)]


def written(
    keys: Sequence[DiagnosisKey] = KEYS,
    revised: Sequence[DiagnosisKey] = (),
    signers: Sequence[ExportSigner] = (SIGNER,),
) -> io.BytesIO:
    out = io.BytesIO()
    assert write_export(out, HEADER, keys, revised, signers) == len(keys) + len(revised)
    return out


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Take a protobuf message apart without protobuf."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        else:
            size = 8 if tag & 7 == 1 else number()
            yield tag >> 3, data[at : at + size]
            at += size


def test_what_is_written_is_read_back_and_verifies() -> None:
    revised = [diagnosis_key(3, ReportType.REVOKED)]
    export = ExportFile.open_zip(written(revised=revised))
    assert export.verify([private_key(1).public_key()]).key_id == "vn"
    assert list(export.keys()) == KEYS
    assert list(export.revised_keys()) == revised
    header = export.header
    assert (header.start_s, header.end_s, header.region) == (HEADER.start_s, HEADER.end_s, "vn")
    assert (header.batch_num, header.batch_size) == (2, 7)


def test_another_reader_finds_every_field_where_the_format_puts_it() -> None:
    """Taken apart without protobuf, zip by the standard library, signature over the whole of export.bin."""
    with zipfile.ZipFile(written()) as archive:
        assert archive.namelist() == ["export.bin", "export.sig"]
        binary, signatures = archive.read("export.bin"), archive.read("export.sig")
    assert binary[:16] == MAGIC
    found = list(fields(binary[16:]))
    assert found[0] == (1, HEADER.start_s.to_bytes(8, "little"))
    assert found[1] == (2, HEADER.end_s.to_bytes(8, "little"))
    assert found[2:5] == [(3, b"vn"), (4, 2), (5, 7)]
    number, info = found[5]
    assert number == 6
    assert isinstance(info, bytes)
    assert list(fields(info)) == [(3, b"v1"), (4, b"vn"), (5, OID.encode())]
    assert [number for number, _ in found[6:]] == [7] * len(KEYS)
    first = found[6][1]
    assert isinstance(first, bytes)
    # -1 day since onset is 1 in sint32's zigzag.
    assert list(fields(first)) == [(1, bytes(16)), (2, 2), (3, START), (4, 144), (5, 1), (6, 1)]
    ((_, signature),) = fields(signatures)
    assert isinstance(signature, bytes)
    parts = dict(fields(signature))
    assert (parts[1], parts[2], parts[3]) == (info, 2, 7)
    der = parts[4]
    assert isinstance(der, bytes)
    private_key(1).public_key().verify(der, binary, ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        private_key(1).public_key().verify(der, binary[16:], ec.ECDSA(SHA256()))


def test_missing_values_stay_missing() -> None:
    bare = DiagnosisKey(TemporaryExposureKey(bytes(16), Interval(START), 5))
    assert list(ExportFile.open_zip(written([bare])).keys()) == [bare]


def test_every_signer_signs_and_is_announced() -> None:
    export = ExportFile.open_zip(written(signers=[SIGNER, ExportSigner(private_key(2), "vn", "v2")]))
    assert [info.key_version for info in export.header.signature_infos] == ["v1", "v2"]
    assert export.verify([private_key(1).public_key()]).key_version == "v1"
    assert export.verify([private_key(2).public_key()]).key_version == "v2"


def test_the_same_keys_make_the_same_export_bin_and_no_date_of_the_day() -> None:
    first, second = zipfile.ZipFile(written()), zipfile.ZipFile(written())
    assert first.read("export.bin") == second.read("export.bin")
    for member in first.infolist():
        assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_what_is_written_in_chunks_is_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zipfile.ZipFile(written()).read("export.bin")
    monkeypatch.setattr("forewarn_protocol.exports.writing._CHUNK_BYTES", 100)
    in_chunks = written()
    assert zipfile.ZipFile(in_chunks).read("export.bin") == whole
    ExportFile.open_zip(in_chunks).verify([private_key(1).public_key()])


def test_keys_out_of_order_are_refused() -> None:
    with pytest.raises(BadExport, match="sorted"):
        written(KEYS[::-1])
    with pytest.raises(BadExport, match="sorted"):
        written(revised=KEYS[::-1])


def test_an_empty_batch_makes_no_file() -> None:
    out = io.BytesIO()
    with pytest.raises(BadExport, match="without keys"):
        write_export(out, HEADER, [], [], [SIGNER])
    assert out.getvalue() == b""


def test_revised_keys_alone_make_a_file() -> None:
    assert ExportFile.open_zip(written([], KEYS)).revised_key_count == len(KEYS)


def test_a_start_that_the_format_cannot_name_is_refused() -> None:
    late = DiagnosisKey(TemporaryExposureKey(bytes(16), Interval(2**31), 144))
    with pytest.raises(BadExport, match="last interval"):
        write_export(io.BytesIO(), HEADER, [late], [], [SIGNER])


def test_an_unsigned_export_is_never_written() -> None:
    out = io.BytesIO()
    with pytest.raises(BadExport, match="signed"):
        write_export(out, HEADER, KEYS, [], [])
    assert out.getvalue() == b""


def test_more_than_half_a_million_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forewarn_protocol.exports.writing.MAX_KEYS_PER_FILE", 9)
    with pytest.raises(BadExport, match="at most"):
        written()


def test_a_signer_on_another_curve_is_refused() -> None:
    with pytest.raises(BadInput, match="P-256"):
        ExportSigner(private_key(1, ec.SECP384R1()), "vn", "v1")


def test_a_signer_shows_no_private_key() -> None:
    assert "PrivateKey" not in repr(SIGNER)


teks = st.builds(
    lambda key, start, period: TemporaryExposureKey(key, Interval(start), period),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**31 - 1),
    st.integers(1, 144),
)
diagnosis_keys = st.builds(
    DiagnosisKey,
    teks,
    st.none() | st.sampled_from(ReportType),
    st.none() | st.integers(-14, 14),
    st.integers(0, 8),
    st.none() | st.integers(-(2**31), 2**31 - 1),
)


@given(
    st.lists(diagnosis_keys, min_size=1, max_size=20).map(lambda keys: sorted(keys, key=lambda key: key.tek.key)),
)
def test_any_keys_survive_the_way_through_a_file(keys: list[DiagnosisKey]) -> None:
    assert list(ExportFile.open_zip(written(keys)).keys()) == keys


HALF_A_MILLION = """
import io, random, resource, sys
from forewarn_protocol.exports.reading import ExportFile, ExportHeader
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey
from tests.protocol.handmade_exports import private_key

def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def keys(count):
    draw = random.Random(1)
    for number in range(count):
        key = number.to_bytes(4) + draw.randbytes(12)
        yield DiagnosisKey(TemporaryExposureKey(key, 2_700_000, 144), None, 0, 1)

def there_and_back(count):
    with open(sys.argv[1], "w+b") as file:
        write_export(file, ExportHeader(0, 3600, "vn"), keys(count), (), [ExportSigner(private_key(1), "vn", "v1")])
        export = ExportFile.open_zip(file)
        export.verify([private_key(1).public_key()])
        assert sum(1 for _ in export.keys()) == export.key_count == count

there_and_back(1000)
before = peak_kb()
there_and_back(500_000)
print(peak_kb() - before)
"""


def test_half_a_million_keys_are_written_and_read_in_a_few_megabytes(tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", HALF_A_MILLION, tmp_path / "export.zip"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    # One in memory: the file has 8 MB, inflated 15, and the keys as Python objects would have 150.
    assert int(result.stdout) < 4000, f"{result.stdout} kB more than for 1,000 keys"
