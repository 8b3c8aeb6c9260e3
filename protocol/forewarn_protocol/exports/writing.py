"""Export files written as a stream: keys in, a signed zip out, the same bytes but for the signatures every time."""

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports.export_pb2 import TEKSignature, TEKSignatureList, TemporaryExposureKeyExport
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKey as KeyMessage
from forewarn_protocol.exports.header import (
    EXPORT_BIN,
    EXPORT_SIG,
    MAGIC,
    MAX_KEYS_PER_FILE,
    MAX_SIGNATURES,
    ExportHeader,
    SignatureInfo,
    info_to_message,
)
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.keys import DiagnosisKey

_KEY_TAG: Final = 7 << 3 | 2
_REVISED_KEY_TAG: Final = 8 << 3 | 2
_MAX_INT32: Final = 2**31 - 1
_CHUNK_BYTES: Final = 1 << 16
# The zip's own oldest date: a true one would say, to the second, when the authority sealed.
_FIXED_DATE: Final = (1980, 1, 1, 0, 0, 0)


def write_export(
    out: BinaryIO,
    header: ExportHeader,
    keys: Iterable[DiagnosisKey],
    revised: Iterable[DiagnosisKey],
    signers: Sequence[ExportSigner],
) -> int:
    """Write an export and return the number of keys, revised ones included.

    Keys come sorted by key bytes, so that their order says nothing; the header's signature infos are the signers'.

    Raises:
        BadExport: no keys, no signers, keys out of order, or more than 500,000 of a kind.
    """
    if not 0 < len(signers) <= MAX_SIGNATURES:
        raise BadExport(f"an export is signed by 1 to {MAX_SIGNATURES} keys")
    fields = chain(_encoded(keys, _KEY_TAG), _encoded(revised, _REVISED_KEY_TAG))
    first = next(fields, None)
    if first is None:
        raise BadExport("an export without keys makes no file")
    infos = tuple(SignatureInfo(signer.key_id, signer.key_version) for signer in signers)
    front = _front(replace(header, signature_infos=infos))
    with zipfile.ZipFile(out, "w") as archive:
        digest = hashlib.sha256()
        with archive.open(_member(EXPORT_BIN), "w") as binary:
            count = _copy(chain((front, first), fields), (binary.write, digest.update)) - 1
        archive.writestr(_member(EXPORT_SIG), _signed(header, infos, signers, digest.digest()))
    return count


def _front(header: ExportHeader) -> bytes:
    message = TemporaryExposureKeyExport(
        start_timestamp=header.start_s,
        end_timestamp=header.end_s,
        region=header.region,
        batch_num=header.batch_num,
        batch_size=header.batch_size,
        signature_infos=[info_to_message(info) for info in header.signature_infos],
    )
    return MAGIC + message.SerializeToString(deterministic=True)


def _encoded(keys: Iterable[DiagnosisKey], tag: int) -> Iterator[bytes]:
    last = b""
    for count, key in enumerate(keys, 1):
        if key.tek.key < last:
            raise BadExport("the keys of an export must be sorted by their bytes")
        if count > MAX_KEYS_PER_FILE:
            raise BadExport(f"an export holds at most {MAX_KEYS_PER_FILE} keys")
        if key.tek.rolling_start > _MAX_INT32:
            raise BadExport("a key starts after the last interval that an export can name")
        last = key.tek.key
        message = KeyMessage(
            key_data=key.tek.key,
            transmission_risk_level=key.transmission_risk,
            rolling_start_interval_number=key.tek.rolling_start,
            rolling_period=key.tek.rolling_period,
            report_type=key.report_type,
            days_since_onset_of_symptoms=key.days_since_onset,
            variant_of_concern=key.variant_of_concern,
        )
        body = message.SerializeToString(deterministic=True)
        # Eighteen bytes of key and at most eleven for each number: the length always is one byte of varint.
        yield bytes((tag, len(body))) + body


def _copy(parts: Iterable[bytes], sinks: Sequence[Callable[[bytes], object]]) -> int:
    count, pending = 0, bytearray()
    for count, part in enumerate(parts, 1):  # noqa: B007 - the last count is the result
        pending += part
        if len(pending) >= _CHUNK_BYTES:
            _give(bytes(pending), sinks)
            pending.clear()
    _give(bytes(pending), sinks)
    return count


def _give(data: bytes, sinks: Sequence[Callable[[bytes], object]]) -> None:
    for sink in sinks:
        sink(data)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # else the operating system of the server stands in the file
    info.external_attr = 0o644 << 16
    return info


def _signed(
    header: ExportHeader, infos: Sequence[SignatureInfo], signers: Sequence[ExportSigner], digest: bytes
) -> bytes:
    signatures = [
        TEKSignature(
            signature_info=info_to_message(info),
            batch_num=header.batch_num,
            batch_size=header.batch_size,
            signature=signer.private_key.sign(digest, ECDSA(Prehashed(SHA256()))),
        )
        for info, signer in zip(infos, signers, strict=True)
    ]
    return TEKSignatureList(signatures=signatures).SerializeToString(deterministic=True)
