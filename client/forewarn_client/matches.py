"""Matches as the diary keeps them: a published key and what was heard of it, sealed with the day of the hearing."""

import sqlite3
import struct
from collections.abc import Iterable
from datetime import date
from typing import Final

from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import Vault, day_number
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadInput
from forewarn_protocol.intervals import Interval, day_at
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_protocol.matching import Match
from forewarn_protocol.sightings import Sighting

Heard = tuple[DiagnosisKey, list[Sighting]]

_KEY: Final = struct.Struct(">16sIBiiii")  # key, start, period; report type, onset days, risk, variant
_SIGHTING: Final = struct.Struct(">20sbdd")  # service data, RSSI in dBm, Unix seconds, seconds since the last scan
_NONE: Final = -(2**31)
_UNKNOWN_S: Final = -1.0


def keep(connection: sqlite3.Connection, vault: Vault, matches: Iterable[Match], first_kept: date) -> None:
    """Store matches inside a transaction that is open, each UTC day's part under that day's key.

    Days before `first_kept` are forgotten: a match must not bring their key back.
    """
    for match in matches:
        days: dict[date, list[Sighting]] = {}
        for heard in match.sightings:
            days.setdefault(day_at(heard.time_s), []).append(heard.sighting)
        for day, sightings in days.items():
            if day >= first_kept:
                sealed = vault.seal(connection, day, _encode(match.key, sightings), MATCHES.context)
                connection.execute("INSERT INTO matches (day, sealed) VALUES (?, ?)", (day_number(day), sealed))


def remembered(connection: sqlite3.Connection, vault: Vault) -> list[Heard]:
    """Return what is stored, in the order in which it was found; one key may come several times."""
    return list(MATCHES.read(connection, vault))


def _encode(key: DiagnosisKey, sightings: Iterable[Sighting]) -> bytes:
    numbers = (key.report_type, key.days_since_onset, key.transmission_risk, key.variant_of_concern)
    head = _KEY.pack(
        key.tek.key,
        key.tek.rolling_start,
        key.tek.rolling_period,
        *(_NONE if number is None else number for number in numbers),
    )
    return head + b"".join(
        _SIGHTING.pack(
            sighting.payload.service_data,
            sighting.rssi_dbm,
            sighting.time_s,
            _UNKNOWN_S if sighting.since_last_scan_s is None else sighting.since_last_scan_s,
        )
        for sighting in sightings
    )


def _decode(_: date, record: bytes) -> Heard:
    try:
        key, start, period, *numbers = _KEY.unpack_from(record)
        report_type, onset, risk, variant = (None if number == _NONE else number for number in numbers)
        tek = TemporaryExposureKey(key, Interval(start), period)
        kind = None if report_type is None else ReportType(report_type)
        rows = list(_SIGHTING.iter_unpack(record[_KEY.size :]))
    except (struct.error, ValueError) as error:
        raise BadInput("a match in the diary is cut off: erase the diary to start a new one") from error
    return (
        DiagnosisKey(tek, kind, onset, risk or 0, variant),
        [
            Sighting(Payload.from_service_data(data), rssi, time_s, None if since_s < 0 else since_s)
            for data, rssi, time_s, since_s in rows
        ],
    )


# The context keeps a match from being passed off as another kind of entry of the same day.
MATCHES: Final = Entries("matches", b"match", _decode)
