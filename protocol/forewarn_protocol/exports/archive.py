"""The zip around an export: its two members found, with every size checked before anything is inflated."""

import errno
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports.header import EXPORT_BIN, EXPORT_SIG, MAX_KEYS_PER_FILE

MAX_MEMBERS: Final = 16
MAX_SIGNATURE_FILE_BYTES: Final = 16 * 1024

_END_RECORD: Final = b"PK\x05\x06"
_END_RECORD_BYTES: Final = 22
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES: Final = 20
_MAX_COMMENT_BYTES: Final = 65_535
_MAX_DIRECTORY_BYTES: Final = 16 * 1024
_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED: Final = 0x1
# Below this size a high ratio costs nobody anything, and a file of three keys may well have one.
_RATIO_MATTERS_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """What a reader is ready to meet; 500,000 keys take about 19 MB, and 10 MB compressed, as keys are random."""

    compressed_bytes: int = 32 * 1024 * 1024
    inflated_bytes: int = 64 * 1024 * 1024
    ratio: int = 20
    keys: int = MAX_KEYS_PER_FILE


@dataclass(frozen=True, slots=True)
class Members:
    """The parts of an export: each call of `open_bin` returns a `read(size)` from the start of export.bin.

    `signatures` is export.sig, if there is one.
    """

    open_bin: Callable[[], Callable[[int], bytes]]
    signatures: bytes | None


@contextmanager
def damage_is_bad_export() -> Iterator[None]:
    """Turn what zipfile and zlib say about damage into one line of our own."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, IndexError, KeyError) as error:
        raise BadExport("the file is no zip, or a damaged one: fetch it again") from error
    except OSError as error:
        # zipfile seeks to where a damaged directory points; any other fault is the disk's.
        if error.errno != errno.EINVAL:
            raise
        raise BadExport("the file is a damaged zip: fetch it again") from error


def open_members(file: BinaryIO, limits: ExportLimits) -> Members:
    """Find export.bin and export.sig in a zip; other members are ignored.

    Raises:
        BadExport: no zip, no export.bin, a name that stands twice, an unknown compression, or larger than `limits`.
    """
    with damage_is_bad_export():
        directory_at = _check_outside(file, limits)
        archive = zipfile.ZipFile(file)
        _check_places(archive.infolist(), directory_at)
        found = _only_one_each(archive.infolist())
        if EXPORT_BIN not in found:
            raise BadExport("the zip holds no export.bin: it is no export file")
        binary = found[EXPORT_BIN]
        _check_member(binary, limits.inflated_bytes, limits.ratio)
        signatures = None
        if EXPORT_SIG in found:
            _check_member(found[EXPORT_SIG], MAX_SIGNATURE_FILE_BYTES, limits.ratio)
            signatures = archive.read(found[EXPORT_SIG])
    return Members(lambda: archive.open(binary).read, signatures)


def _check_outside(file: BinaryIO, limits: ExportLimits) -> int:
    """Return where the directory begins, which nothing was read of yet."""
    size = file.seek(0, 2)
    if size > limits.compressed_bytes:
        raise BadExport(f"an export file has {size} bytes: at most {limits.compressed_bytes} are read")
    tail_at = file.seek(max(0, size - _MAX_COMMENT_BYTES - _END_RECORD_BYTES - _ZIP64_LOCATOR_BYTES))
    # A device such as /dev/zero has size 0 and no end.
    tail = file.read(limits.compressed_bytes)
    # Where zipfile looks for it, so that both see the same directory.
    end = tail.rfind(_END_RECORD)
    record = tail[end : end + _END_RECORD_BYTES] if end >= 0 else b""
    if len(record) < _END_RECORD_BYTES:
        raise BadExport("the file is no zip: give an export's zip file")
    entries, directory_bytes = int.from_bytes(record[10:12], "little"), int.from_bytes(record[12:16], "little")
    # zipfile reads the whole directory into memory and makes an object of each entry.
    if entries > MAX_MEMBERS or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise BadExport(f"the zip lists over {MAX_MEMBERS} members: it is no export file")
    if end >= _ZIP64_LOCATOR_BYTES and tail.startswith(_ZIP64_LOCATOR, end - _ZIP64_LOCATOR_BYTES):
        raise BadExport("the zip is of the 64-bit form, which no export needs")
    return tail_at + end - directory_bytes


def _check_places(members: list[zipfile.ZipInfo], directory_at: int) -> None:
    # A ratio means something only if the compressed size is true: no member may reach into the next one, or into the
    # directory, so that all together are no larger than the file.
    ordered = sorted(members, key=lambda member: member.header_offset)
    ends = [*(member.header_offset for member in ordered[1:]), directory_at]
    for member, end in zip(ordered, ends, strict=False):
        if member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size > end:
            raise BadExport("members of the zip overlap, or are said to be larger than the file: fetch it again")


def _only_one_each(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        # Two members of one name: which of them is signed depends on who reads.
        if member.filename in found and member.filename in {EXPORT_BIN, EXPORT_SIG}:
            raise BadExport(f"the zip holds {member.filename} twice: fetch it again")
        found[member.filename] = member
    return found


def _check_member(member: zipfile.ZipInfo, limit_bytes: int, ratio: int) -> None:
    if member.file_size > limit_bytes:
        raise BadExport(f"{member.filename} inflates to {member.file_size} bytes: at most {limit_bytes} are read")
    if member.file_size > max(_RATIO_MATTERS_BYTES, ratio * member.compress_size):
        raise BadExport(f"{member.filename} inflates more than {ratio} times: it holds no random keys")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadExport(f"{member.filename} is encrypted or of an unknown compression: fetch it again")
