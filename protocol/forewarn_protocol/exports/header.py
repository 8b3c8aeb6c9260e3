"""What stands at the front of an export: time span, region, place in its batch, and who signs."""

from dataclasses import dataclass
from typing import Final

from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports import export_pb2
from forewarn_protocol.exports.signing import ECDSA_WITH_SHA256

MAGIC: Final = b"EK Export v1    "
"""The first 16 bytes of export.bin; protobuf follows."""
EXPORT_BIN: Final = "export.bin"
EXPORT_SIG: Final = "export.sig"
MAX_KEYS_PER_FILE: Final = 500_000
MAX_SIGNATURES: Final = 16
_MAX_TEXT_CHARACTERS: Final = 200
_YEAR_9999_S: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class SignatureInfo:
    """Which key signed; `algorithm` is an object identifier, or in old files plain text, and decides nothing.

    Raises:
        BadExport: a text that no terminal should be shown.
    """

    key_id: str = ""
    key_version: str = ""
    algorithm: str = ECDSA_WITH_SHA256

    def __post_init__(self) -> None:
        for text in (self.key_id, self.key_version, self.algorithm):
            demand_plain(text)


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """Start and end in Unix seconds, region, file `batch_num` of `batch_size`, and the signatures announced.

    Raises:
        BadExport: a time that is no Unix time in seconds, or a region that no terminal should be shown.
    """

    start_s: int
    end_s: int
    region: str
    batch_num: int = 1
    batch_size: int = 1
    signature_infos: tuple[SignatureInfo, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.start_s <= _YEAR_9999_S and 0 <= self.end_s <= _YEAR_9999_S):
            raise BadExport("an export's times are no Unix times in seconds")
        demand_plain(self.region)


def demand_plain(text: str) -> None:
    """Refuse a text that could move a terminal's cursor or fill its screen.

    Raises:
        BadExport: it could.
    """
    if len(text) > _MAX_TEXT_CHARACTERS or not text.isprintable():
        raise BadExport(f"an export holds a text that is not printable or over {_MAX_TEXT_CHARACTERS} characters")


def info_from_message(message: export_pb2.SignatureInfo) -> SignatureInfo:
    """Read a signature info; fields 1 and 2 of May 2020 are ignored."""
    texts: list[object] = [
        message.verification_key_id,
        message.verification_key_version,
        message.signature_algorithm,
    ]
    # protobuf hands out bytes where a text of proto2 is not UTF-8.
    if not all(isinstance(text, str) for text in texts):
        raise BadExport("an export holds a text that is not UTF-8")
    return SignatureInfo(*map(str, texts))


def info_to_message(info: SignatureInfo) -> export_pb2.SignatureInfo:
    """Write a signature info."""
    return export_pb2.SignatureInfo(
        verification_key_id=info.key_id,
        verification_key_version=info.key_version,
        signature_algorithm=info.algorithm,
    )
