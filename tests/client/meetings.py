"""Phones that know a server, the people they met, and the keys that such a person later publishes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from forewarn_client import matches
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.identifiers import EncryptedMetadata, RollingProximityIdentifier, crypt_metadata, identifiers
from forewarn_protocol.intervals import interval_at, midnight
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_protocol.sightings import Sighting
from forewarn_shell.clock import Clock
from tests.client.honest_server import HonestServer

TX_DBM = -20
NEAR_DBM = -55
AT_ONCE = Timing(report_gap_s=(0, 0))
"""For a report whose clock does not go on between two requests."""


@asynccontextmanager
async def phone(known: HonestServer, folder: Path, clock: Clock, **given: Any) -> AsyncIterator[Device]:
    settings = ClientSettings(
        **{
            "data": folder,
            "server": known.url,
            "public_key": (known.public_key,),
            "language": "en",
            "assessing": "thread",
            **given,
        }
    )
    async with Device.open(settings, clock) as device:
        yield device


def key_of_day(unix_s: float, number: int) -> TemporaryExposureKey:
    """Return the numbered key of the UTC day that holds a time."""
    return TemporaryExposureKey(sha256(b"%d" % number).digest()[:16], midnight(interval_at(unix_s)))


def confirmed(tek: TemporaryExposureKey, report_type: ReportType | None = None) -> DiagnosisKey:
    return DiagnosisKey(tek, report_type=report_type)


def heard(tek: TemporaryExposureKey, unix_s: float, rssi_dbm: int = NEAR_DBM, since_s: float = 240) -> Sighting:
    """Return one hearing of what a key speaks at a time."""
    rpi = identifiers(tek.key, tek.rolling_start, tek.rolling_period)[interval_at(unix_s) - tek.rolling_start]
    plain = Metadata(tx_power_dbm=TX_DBM, confidence=Confidence.HIGH).encode()
    payload = Payload(RollingProximityIdentifier(rpi), EncryptedMetadata(crypt_metadata(tek.key, rpi, plain)))
    return Sighting(payload, rssi_dbm, unix_s, since_s)


async def meet(
    device: Device, tek: TemporaryExposureKey, start_s: float, minutes: int, rssi_dbm: int = NEAR_DBM
) -> None:
    """Let a device hear a key's owner for so long: a window of 4 s every 4 minutes, two samples each."""
    for at_s in range(int(start_s), int(start_s) + minutes * 60, 240):
        await device.diary.record(ScanWindow.of([heard(tek, at_s + offset, rssi_dbm) for offset in (0, 2)]))


async def stored_matches(device: Device) -> set[bytes]:
    """Return the keys that the diary says were met."""
    found = await device.database.read(matches.remembered, device.vault)
    return {part.key.tek.key for part in found}
