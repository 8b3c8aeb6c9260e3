"""Exports: zip or bare, verified and read to the end, written again, and read by protobuf's own parser too."""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from google.protobuf.message import DecodeError

from forewarn_protocol.errors import BadExport, NotVerified
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKey as KeyMessage
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKeyExport
from forewarn_protocol.exports.header import MAGIC, ExportHeader
from forewarn_protocol.exports.reading import ExportFile, ExportLimits
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.keys import MAX_ONSET_DAYS, DiagnosisKey, ReportType
from tests.fuzz.target import Target
from tests.protocol.handmade_exports import Handmade, bytes_field, key, number_field, private_key, varint, zipped

SIGNER = ExportSigner(private_key(1), "vn", "v1")
PUBLIC_KEYS = [private_key(1).public_key()]
LIMITS = ExportLimits(compressed_bytes=1 << 20, inflated_bytes=1 << 20, keys=2_000)
_LENGTH_BYTES = 2
# Where ours may refuse what protobuf reads: rules and limits of the format, never the framing itself.
_OUR_RULES = re.compile("holds over|announces over|at most|group|no Unix times|not printable|not UTF-8|is none")


def check(data: bytes) -> None:
    """Read the bytes as a zip or a bare export.bin; else put them into a zip, the first two saying how much signs."""
    if data.startswith((b"PK", MAGIC)):
        file = io.BytesIO(data)
    else:
        cut = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        file = zipped({"export.bin": MAGIC + data[cut:], "export.sig": data[_LENGTH_BYTES:cut]}, compression=0)
        data = MAGIC + data[cut:]
    try:
        export = ExportFile.open(file, LIMITS)
        with suppress(NotVerified):
            export.verify(PUBLIC_KEYS)
        keys, revised = list(export.keys()), list(export.revised_keys())
    except BadExport as error:
        refused = error.message
        if data.startswith(MAGIC):
            _protobuf_refuses_too(data, refused)
        return
    assert (len(keys), len(revised)) == (export.key_count, export.revised_key_count)
    if data.startswith(MAGIC):
        _protobuf_reads_the_same(data, export.header, keys, revised)
    _write_and_read_again(export.header, keys, revised)


def _parsed(binary: bytes) -> TemporaryExposureKeyExport | None:
    try:
        return TemporaryExposureKeyExport.FromString(binary[len(MAGIC) :])
    except DecodeError:
        return None


def _protobuf_refuses_too(binary: bytes, refused: str) -> None:
    damaged_signature = "export.sig" in refused
    assert damaged_signature or _OUR_RULES.search(refused) or _parsed(binary) is None, refused


def _protobuf_reads_the_same(
    binary: bytes, header: ExportHeader, keys: Sequence[DiagnosisKey], revised: Sequence[DiagnosisKey]
) -> None:
    theirs = _parsed(binary)
    if theirs is None:
        return
    assert (header.start_s, header.end_s) == (theirs.start_timestamp, theirs.end_timestamp)
    assert header.region == theirs.region
    assert header.batch_num == (theirs.batch_num if theirs.HasField("batch_num") else 1)
    assert header.batch_size == (theirs.batch_size if theirs.HasField("batch_size") else 1)
    assert [info.key_id for info in header.signature_infos] == [
        info.verification_key_id for info in theirs.signature_infos
    ]
    for ours, messages in ((keys, theirs.keys), (revised, theirs.revised_keys)):
        assert [_fields(each) for each in ours] == [_message_fields(message) for message in messages]


def _fields(published: DiagnosisKey) -> tuple[object, ...]:
    tek = published.tek
    numbers = (tek.key, tek.rolling_start, tek.rolling_period, published.transmission_risk)
    return (*numbers, published.report_type, published.days_since_onset, published.variant_of_concern)


def _message_fields(message: KeyMessage) -> tuple[object, ...]:
    def optional(name: str) -> int | None:
        return getattr(message, name) if message.HasField(name) else None

    report_type, onset = optional("report_type"), optional("days_since_onset_of_symptoms")
    if report_type is not None and report_type not in list(ReportType):
        report_type = ReportType.UNKNOWN
    if onset is not None and abs(onset) > MAX_ONSET_DAYS:
        onset = None
    numbers = (message.key_data, message.rolling_start_interval_number, message.rolling_period)
    return (*numbers, message.transmission_risk_level, report_type, onset, optional("variant_of_concern"))


def _write_and_read_again(header: ExportHeader, keys: Sequence[DiagnosisKey], revised: Sequence[DiagnosisKey]) -> None:
    if not keys and not revised:
        return
    ordered, revised_too = (sorted(each, key=lambda published: published.tek.key) for each in (keys, revised))
    out = io.BytesIO()
    write_export(out, header, ordered, revised_too, [SIGNER])
    again = ExportFile.open_zip(out, ExportLimits())
    assert again.verify(PUBLIC_KEYS).key_id == SIGNER.key_id
    assert (list(again.keys()), list(again.revised_keys())) == (ordered, revised_too)
    assert (again.header.region, again.header.batch_num) == (header.region, header.batch_num)


def seeds() -> Mapping[str, bytes]:
    whole = Handmade(keys=[key(bytes([n]) * 16, period=None if n % 2 else 144, onset=n) for n in range(3)])
    revised = Handmade(keys=[], revised=[key(bytes(16), report_type=5, onset=None)], batch=(2, 7))
    strange = Handmade(front=bytes_field(99, b"later"), tail=varint(99 << 3 | 1) + bytes(8) + number_field(99, 1))
    signature = whole.signatures()
    split = len(signature).to_bytes(_LENGTH_BYTES, "little") + signature + whole.binary()[len(MAGIC) :]
    return {
        "zip": whole.zip().getvalue(),
        "stored-zip": zipped({"export.bin": whole.binary(), "export.sig": signature}, compression=0).getvalue(),
        "bare": whole.binary(),
        "revised": revised.binary(),
        "unknown-fields": strange.binary(),
        "to-be-zipped": split,
    }


_WORDS = (
    *(MAGIC, b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07", b"PK\x07\x08", b"export.bin", b"export.sig"),
    *(b"\x09", b"\x11", b"\x1a", b"\x20", b"\x28", b"\x32", b"\x3a", b"\x42", b"\x0a\x10", b"\x18", b"\x30\x1b"),
    *(b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x90\x01", b"\x91\x01", b"\x3b", b"\x3c"),
)
TARGET = Target(check, seeds, _WORDS, 4_096)
