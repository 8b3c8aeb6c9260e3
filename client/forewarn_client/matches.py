"""Matches as the diary keeps them: a published key and what was heard of it, sealed with the day of the hearing."""

import sqlite3
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final, Self

from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import DaySeal, Vault, day_number
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadInput
from forewarn_protocol.exports.header import ExportHeader
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_protocol.matching import Match
from forewarn_protocol.sightings import Sighting

_HEAD: Final = struct.Struct(">16sIBiiii?Q")  # key, start, period; report type, onset days, risk, variant; the word
_SIGHTING: Final = struct.Struct(">20sbdd")  # service data, RSSI in dBm, Unix seconds, seconds since the last scan
_NONE: Final = -(2**31)
_UNKNOWN_S: Final = -1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A published key, what was heard of it, and whose word this is.

    `revised`: it stood among a file's revised keys; `file_end_s` is the end of the time that the file counts for, in
    Unix seconds.
    """

    key: DiagnosisKey
    sightings: tuple[Sighting, ...]
    revised: bool = False
    file_end_s: int = 0

    @classmethod
    def of(cls, match: Match, header: ExportHeader, *, revised: bool) -> Self:
        """Take what a file's key matched."""
        return cls(match.key, tuple(matched.sighting for matched in match.sightings), revised, header.end_s)


def sealed(seal: DaySeal, heard: Heard) -> bytes:
    """Return what the diary keeps of a match, sealed with the day of the scan windows in which it was heard."""
    return seal.seal(_encode(heard), MATCHES.context)


def keep(connection: sqlite3.Connection, found: Iterable[tuple[date, bytes]], first_kept: date) -> None:
    """Store sealed matches with their UTC days inside a transaction that is open.

    Days before `first_kept` are forgotten: their key is destroyed, and nothing sealed with it is worth a row.
    """
    kept = ((day_number(day), record) for day, record in found if day >= first_kept)
    connection.executemany("INSERT INTO matches (day, sealed) VALUES (?, ?)", kept)


def remembered(connection: sqlite3.Connection, vault: Vault, only: Collection[bytes] | None = None) -> list[Heard]:
    """Return what is stored, or of it what is about the keys `only`, in the order in which it was found.

    One key may come several times.
    """
    if only is None:
        return list(MATCHES.read(connection, vault))
    about = Entries(MATCHES.table, MATCHES.context, partial(_decode_if, only))
    return [heard for heard in about.read(connection, vault) if heard.sightings]


def words(connection: sqlite3.Connection, vault: Vault) -> list[tuple[Heard, int]]:
    """Return, for all that is stored, whose word it is, without the sightings, and how many there are."""
    return list(_WORDS.read(connection, vault))


def newest_words(found: Iterable[Heard]) -> list[Heard]:
    """Return the newest word about each key: revised goes before fresh, then a later file before an earlier one.

    In which order the files came says nothing: one may have been out of reach, another fetched twice. A key that was
    taken back stays so, whoever hands out its first word again.
    """
    words: dict[bytes, Heard] = {}
    for heard in found:
        known = words.get(heard.key.tek.key)
        if known is None or (known.revised, known.file_end_s) <= (heard.revised, heard.file_end_s):
            words[heard.key.tek.key] = heard
    return list(words.values())


def _encode(heard: Heard) -> bytes:
    key = heard.key
    numbers = (key.report_type, key.days_since_onset, key.transmission_risk, key.variant_of_concern)
    head = _HEAD.pack(
        key.tek.key,
        key.tek.rolling_start,
        key.tek.rolling_period,
        *(_NONE if number is None else number for number in numbers),
        heard.revised,
        heard.file_end_s,
    )
    return head + b"".join(
        _SIGHTING.pack(
            sighting.payload.service_data,
            sighting.rssi_dbm,
            sighting.time_s,
            _UNKNOWN_S if sighting.since_last_scan_s is None else sighting.since_last_scan_s,
        )
        for sighting in heard.sightings
    )


def _decode(day: date, record: bytes) -> Heard:
    word, _ = _decode_word(day, record)
    sightings = tuple(
        Sighting(Payload.from_service_data(data), rssi, time_s, None if since_s < 0 else since_s)
        for data, rssi, time_s, since_s in _SIGHTING.iter_unpack(record[_HEAD.size :])
    )
    return replace(word, sightings=sightings)


def _decode_if(wanted: Collection[bytes], day: date, record: bytes) -> Heard:
    word, _ = _decode_word(day, record)
    return _decode(day, record) if word.key.tek.key in wanted else word


def _decode_word(_: date, record: bytes) -> tuple[Heard, int]:
    try:
        key, start, period, *numbers, revised, file_end_s = _HEAD.unpack_from(record)
        report_type, onset, risk, variant = (None if number == _NONE else number for number in numbers)
        tek = TemporaryExposureKey(key, Interval(start), period)
        kind = None if report_type is None else ReportType(report_type)
    except (struct.error, ValueError) as error:
        raise _cut_off() from error
    count, rest = divmod(len(record) - _HEAD.size, _SIGHTING.size)
    if rest:
        raise _cut_off()
    return Heard(DiagnosisKey(tek, kind, onset, risk or 0, variant), (), revised, file_end_s), count


def _cut_off() -> BadInput:
    return BadInput("a match in the diary is cut off: erase the diary to start a new one")


# The context keeps a match from being passed off as another kind of entry of the same day.
MATCHES: Final = Entries("matches", b"match", _decode)
_WORDS: Final = Entries(MATCHES.table, MATCHES.context, _decode_word)
