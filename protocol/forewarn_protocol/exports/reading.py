"""Export files read as a stream: header, signature and keys, with never more than one key in memory."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.message import DecodeError

from forewarn_protocol.errors import BadExport, BadKey, NotVerified
from forewarn_protocol.exports.archive import ExportLimits, Members, damage_is_bad_export, open_members
from forewarn_protocol.exports.export_pb2 import SignatureInfo as SignatureInfoMessage
from forewarn_protocol.exports.export_pb2 import TEKSignature, TEKSignatureList
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKey as KeyMessage
from forewarn_protocol.exports.framing import FIXED64, LENGTH_DELIMITED, VARINT, walk
from forewarn_protocol.exports.header import MAGIC, MAX_SIGNATURES, ExportHeader, SignatureInfo, info_from_message
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import MAX_ONSET_DAYS, DiagnosisKey, ReportType, TemporaryExposureKey

__all__ = ["ExportFile", "ExportHeader", "ExportLimits", "SignatureInfo"]

# Field numbers of TemporaryExposureKeyExport (export.proto).
_START, _END, _REGION, _BATCH_NUM, _BATCH_SIZE, _SIGNATURE_INFO, _KEY, _REVISED_KEY = range(1, 9)
_WIRE_TYPES: Final = {
    _START: FIXED64,
    _END: FIXED64,
    _REGION: LENGTH_DELIMITED,
    _BATCH_NUM: VARINT,
    _BATCH_SIZE: VARINT,
    _SIGNATURE_INFO: LENGTH_DELIMITED,
    _KEY: LENGTH_DELIMITED,
    _REVISED_KEY: LENGTH_DELIMITED,
}
# Beside two lists of keys: an honest file has about ten, of which ours may know the half.
_MAX_OTHER_FIELDS: Final = 10_000
_REPORT_TYPES: Final = frozenset(ReportType)
_DEFAULT_LIMITS: Final = ExportLimits()


class ExportFile:
    """One export file, walked once when it is opened: what it says is known, no key has been parsed.

    Open it with `open`, or with `open_zip` or `open_bare` where only one of them will do; the file object stays the
    caller's and must stay open.
    """

    def __init__(self, members: Members, limits: ExportLimits) -> None:
        self._members = members
        self._limits = limits
        self._digest = hashlib.sha256()
        self.key_count = 0
        self.revised_key_count = 0
        self.header = self._survey()

    @classmethod
    def open(cls, file: BinaryIO, limits: ExportLimits = _DEFAULT_LIMITS) -> Self:
        """Open an export's zip, or an export.bin without one: its first bytes say which.

        Raises:
            BadExport: it is neither, or damaged, or larger than `limits`.
        """
        file.seek(0)
        bare = file.read(len(MAGIC)) == MAGIC
        return cls.open_bare(file, limits) if bare else cls.open_zip(file, limits)

    @classmethod
    def open_zip(cls, file: BinaryIO, limits: ExportLimits = _DEFAULT_LIMITS) -> Self:
        """Open an export's zip.

        Raises:
            BadExport: no zip, damaged, or larger than `limits`.
        """
        return cls(open_members(file, limits), limits)

    @classmethod
    def open_bare(cls, file: BinaryIO, limits: ExportLimits = _DEFAULT_LIMITS) -> Self:
        """Open an export.bin without its zip: nothing can verify it.

        Raises:
            BadExport: no export.bin, damaged, or larger than `limits`.
        """
        if (size := file.seek(0, 2)) > limits.inflated_bytes:
            raise BadExport(f"an export.bin has {size} bytes: at most {limits.inflated_bytes} are read")
        return cls(Members(lambda: _from_start(file), None), limits)

    def keys(self) -> Iterator[DiagnosisKey]:
        """Yield the keys in the order of the file; duplicates come twice.

        Raises:
            BadExport: a key that is none; what was yielded before it must not be used.
        """
        return self._each(_KEY)

    def revised_keys(self) -> Iterator[DiagnosisKey]:
        """Yield the keys whose report type has changed since they were published.

        Raises:
            BadExport: a key that is none; what was yielded before it must not be used.
        """
        return self._each(_REVISED_KEY)

    def verify(self, public_keys: Sequence[EllipticCurvePublicKey]) -> SignatureInfo:
        """Return who signed, if any of the file's signatures verifies with any of the keys.

        Names, versions and algorithms in the file decide nothing: real files carry old and wrong ones.

        Raises:
            NotVerified: none does, or the file has no signature.
            BadExport: export.sig is damaged.
        """
        if self._members.signatures is None:
            raise NotVerified("the export has no signature: fetch the signed zip file")
        for signature in _signatures(self._members.signatures):
            for key in public_keys:
                try:
                    key.verify(signature.signature, self._digest.digest(), ECDSA(Prehashed(SHA256())))
                except InvalidSignature:
                    continue
                return info_from_message(signature.signature_info)
        raise NotVerified("the export is not signed by a trusted key: check the public key, or fetch it again")

    def _survey(self) -> ExportHeader:
        # This walk, needed for the hash, counts the keys too: a limit is met before anything is matched.
        numbers = {_START: 0, _END: 0, _BATCH_NUM: 1, _BATCH_SIZE: 1}
        counts = {_KEY: 0, _REVISED_KEY: 0}
        region, infos = b"", list[SignatureInfo]()
        for number, value in self._fields(_WIRE_TYPES, self._digest.update):
            if number in counts:
                counts[number] += 1
                if counts[number] > self._limits.keys:
                    raise BadExport(f"an export holds over {self._limits.keys} keys")
            elif isinstance(value, int):
                numbers[number] = value
            elif number == _REGION:
                region = value
            else:
                infos.append(_signature_info(value))
                if len(infos) > MAX_SIGNATURES:
                    raise BadExport(f"an export announces over {MAX_SIGNATURES} signatures")
        self.key_count, self.revised_key_count = counts[_KEY], counts[_REVISED_KEY]
        start_s, end_s, batch_num, batch_size = numbers.values()
        return ExportHeader(start_s, end_s, _text(region), _int32(batch_num), _int32(batch_size), tuple(infos))

    def _each(self, wanted: int) -> Iterator[DiagnosisKey]:
        for position, (_, value) in enumerate(self._fields({wanted: LENGTH_DELIMITED})):
            if isinstance(value, bytes):
                yield _diagnosis_key(value, position)

    def _fields(
        self, wanted: Mapping[int, int], also: Callable[[bytes], None] | None = None
    ) -> Iterator[tuple[int, int | bytes]]:
        with damage_is_bad_export():
            stream = self._members.open_bin()

            def read(size: int) -> bytes:
                chunk = stream(size)
                if also is not None:
                    also(chunk)
                return chunk

            if read(len(MAGIC)) != MAGIC:
                raise BadExport("the file does not start like an export: give an export's zip or its export.bin")
            yield from walk(read, wanted, 2 * self._limits.keys + _MAX_OTHER_FIELDS)


def _from_start(file: BinaryIO) -> Callable[[int], bytes]:
    # Two walks over one file may be under way at once, so each keeps its own place.
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        file.seek(at)
        chunk = file.read(size)
        at += len(chunk)
        return chunk

    return read


def _diagnosis_key(data: bytes, position: int) -> DiagnosisKey:
    try:
        message = KeyMessage.FromString(data)
        tek = TemporaryExposureKey(
            message.key_data, Interval(message.rolling_start_interval_number), message.rolling_period
        )
    except DecodeError:
        raise BadExport(f"key {position} of the export is damaged") from None
    except BadKey as error:
        raise BadExport(f"key {position} of the export is none: {error.message}") from None
    return DiagnosisKey(
        tek,
        report_type=_report_type(message.report_type) if message.HasField("report_type") else None,
        days_since_onset=_onset_days(message),
        transmission_risk=message.transmission_risk_level,
        variant_of_concern=message.variant_of_concern if message.HasField("variant_of_concern") else None,
    )


def _report_type(number: int) -> ReportType:
    # A type that was invented after us is stated, not missing: it must not be taken for a confirmed test.
    return ReportType(number) if number in _REPORT_TYPES else ReportType.UNKNOWN


def _onset_days(message: KeyMessage) -> int | None:
    # Some authorities coded other things into numbers far outside a fortnight: they say nothing about an onset.
    days = message.days_since_onset_of_symptoms
    return days if message.HasField("days_since_onset_of_symptoms") and abs(days) <= MAX_ONSET_DAYS else None


def _signatures(data: bytes) -> Sequence[TEKSignature]:
    try:
        found = TEKSignatureList.FromString(data).signatures
    except DecodeError:
        raise BadExport("the export's export.sig is damaged: fetch it again") from None
    if len(found) > MAX_SIGNATURES:
        raise BadExport(f"the export has over {MAX_SIGNATURES} signatures")
    return found


def _signature_info(data: bytes) -> SignatureInfo:
    try:
        return info_from_message(SignatureInfoMessage.FromString(data))
    except DecodeError:
        raise BadExport("a signature info of the export is damaged") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadExport("the export's region is not UTF-8") from None


def _int32(value: int) -> int:
    # Negative numbers stand in ten bytes, sign-extended to 64 bits.
    low = value & 0xFFFF_FFFF
    return low - (1 << 32) if low >> 31 else low
