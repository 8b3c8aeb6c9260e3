"""One neighbour of the crowd has reported: a signed file with the keys of its days, and a configuration to judge by."""

import os
from datetime import date, timedelta
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from forewarn_client.device import Device
from forewarn_client.diary import feeds
from forewarn_client.pinned_feeds import CONFIGURATION
from forewarn_protocol.configuration import DeviceConfiguration, ExportKey
from forewarn_protocol.exports.header import ExportHeader
from forewarn_protocol.exports.signing import ExportSigner, public_key_to_base64
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.intervals import day_at, first_interval
from forewarn_protocol.keys import KEY_BYTES, DiagnosisKey, TemporaryExposureKey
from forewarn_simulations.bench.crowd_radio import neighbour_key

KEYS: Final = 1000
_HOUR_S: Final = 3600


async def write_file(device: Device, since: date, file: BinaryIO) -> str:
    """Write a file of 1,000 keys, among them one neighbour's since a UTC day; return the key that signed it.

    The device is given the configuration by which its matches are judged.
    """
    now_s, region = int(device.clock.utc()), device.settings.region
    today = day_at(now_s)
    met = [neighbour_key(0, since + timedelta(days=day)) for day in range((today - since).days + 1)]
    others = [TemporaryExposureKey(os.urandom(KEY_BYTES), first_interval(today)) for _ in range(KEYS - len(met))]
    keys = sorted((DiagnosisKey(tek) for tek in (*met, *others)), key=lambda key: key.tek.key)
    signing_key = generate_private_key(SECP256R1())
    public_key = public_key_to_base64(signing_key.public_key())
    write_export(
        file, ExportHeader(now_s - _HOUR_S, now_s, region), keys, (), [ExportSigner(signing_key, region, "v1")]
    )
    configuration = DeviceConfiguration(
        sequence=1,
        issued=now_s,
        expires=now_s + _HOUR_S,
        region=region,
        health_authority_id=region,
        export_keys=(ExportKey(key_id=region, key_version="v1", public_key=public_key),),
    )
    await device.database.write(
        feeds.keep,
        CONFIGURATION.path(region),
        sequence=configuration.sequence,
        issued=configuration.issued,
        root="",
        body=configuration.model_dump_json().encode(),
    )
    return public_key
