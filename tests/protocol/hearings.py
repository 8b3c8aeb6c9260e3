"""Sightings and matches made by hand: a key that really speaks, heard when and how loud the test wants."""

from collections.abc import Iterable

from forewarn_protocol.advertisement import Payload
from forewarn_protocol.identifiers import EncryptedMetadata, crypt_metadata, identifier
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey
from forewarn_protocol.matching import Match, SightingIndex, match
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_protocol.sightings import Sighting

MIDNIGHT = Interval(144 * 18_400)
"""2020-05-18, 00:00 UTC."""
MIDNIGHT_S = MIDNIGHT * 600
TEK = TemporaryExposureKey(bytes(range(16)), MIDNIGHT)
TX_DBM = -20


def hearing(  # noqa: PLR0917 - see PLR0913 in pyproject.toml
    time_s: float,
    rssi_dbm: int = -60,
    since_s: float | None = 180,
    tek: TemporaryExposureKey = TEK,
    interval: int | None = None,
    tx_dbm: int = TX_DBM,
    confidence: Confidence = Confidence.HIGH,
) -> Sighting:
    """Hear `tek`, by default under the identifier that belongs to the time of the hearing."""
    spoken = int(time_s // 600) if interval is None else interval
    rpi = identifier(tek.key, spoken)
    aem = crypt_metadata(tek.key, rpi, Metadata(tx_dbm, confidence).encode())
    return Sighting(Payload(rpi, EncryptedMetadata(aem)), rssi_dbm, time_s, since_s)


def only_match(sightings: Iterable[Sighting], key: DiagnosisKey | None = None) -> Match:
    """Return the one match of `TEK`."""
    (found,) = match([key or DiagnosisKey(TEK)], SightingIndex(sightings))
    return found


def times(found: Match) -> list[float]:
    """Return when a match was heard, from the midnight that starts `TEK`."""
    return [heard.time_s - MIDNIGHT_S for heard in found.sightings]
