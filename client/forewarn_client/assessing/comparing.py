"""Compare an export file with the diary, in memory that neither the diary's size nor the number of matches moves.

A fortnight in company is millions of sightings, far more than a badge can hold. So the keys are first looked up among
the identifiers alone, some seventy times fewer and a block of them at a time; then the diary is read once more, for
the sightings of what was met, which leave memory as sealed rows.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from itertools import islice
from math import inf
from operator import itemgetter
from typing import BinaryIO, Final

from forewarn_client import matches
from forewarn_client.assessing.spool import put
from forewarn_client.diary.block import ScanWindow, identifiers
from forewarn_client.diary.entries import Entries
from forewarn_client.diary.store import SCAN_WINDOWS
from forewarn_client.diary.vault import Vault
from forewarn_client.matches import Heard
from forewarn_protocol import identifiers as derivation
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.intervals import TOLERANCE_INTERVALS
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey
from forewarn_protocol.matching import Anomaly, SightingIndex, match
from forewarn_protocol.sightings import Sighting

IDENTIFIERS_AT_ONCE: Final = 200_000
"""About 25 MB, and more than a fortnight beside 100 people. A flooded diary costs several walks of the keys."""
KEYS_AT_ONCE: Final = 1_000
SIGHTINGS_AT_ONCE: Final = 20_000
"""About 6 MB."""

_IDENTIFIERS: Final = Entries(SCAN_WINDOWS.table, SCAN_WINDOWS.context, lambda _, block: identifiers(block))


def compare(
    connection: sqlite3.Connection, vault: Vault, export: ExportFile, since: date, found: BinaryIO
) -> Counter[Anomaly]:
    """Write into `found` what was heard of the file's keys from the UTC day `since` on; return what was strange.

    Raises:
        BadExport: the file holds a key that is none.
        Forgotten: a day has been forgotten meanwhile; the next try leaves it out.
    """
    strange = Counter[Anomaly]()
    for keys, revised in ((export.keys, False), (export.revised_keys, True)):
        met = iter(_met(connection, vault, keys, since))
        while step := list(islice(met, KEYS_AT_ONCE)):
            wanted = {rpi for key in step for rpi in _spoken(key.tek)}
            for day, sightings in _heard(connection, vault, wanted, since):
                # As wide as the protocol ever matches, without guard and caps: judging matches anew by the
                # configuration of its day, and could not bring back what a narrower one had left out here.
                index = SightingIndex(sightings)
                matched = match(
                    step, index, tolerance_intervals=TOLERANCE_INTERVALS, replay_guard_s=inf, anomalies=strange
                )
                seal = vault.day(connection, day)
                for each in matched:
                    put(found, day, matches.sealed(seal, Heard.of(each, export.header, revised=revised)))
    return strange


def _met(
    connection: sqlite3.Connection, vault: Vault, keys: Callable[[], Iterable[DiagnosisKey]], since: date
) -> Sequence[DiagnosisKey]:
    """Return the keys of which an identifier was heard, in their order; of a key that comes twice, the later."""
    met: dict[TemporaryExposureKey, tuple[int, DiagnosisKey]] = {}
    for heard in _blocks(connection, vault, since):
        for place, key in enumerate(keys()):
            if not heard.isdisjoint(_spoken(key.tek)):
                met[key.tek] = place, key
    return [key for _, key in sorted(met.values(), key=itemgetter(0))]


def _blocks(connection: sqlite3.Connection, vault: Vault, since: date) -> Iterator[set[bytes]]:
    """Yield the identifiers that were heard; at least one block, so that every key of a file is read."""
    block = set[bytes]()
    for heard in _IDENTIFIERS.read(connection, vault, since):
        if len(block) >= IDENTIFIERS_AT_ONCE:
            yield block
            block = set()
        block |= heard
    yield block


def _heard(
    connection: sqlite3.Connection, vault: Vault, rpis: Collection[bytes], since: date
) -> Iterator[tuple[date, list[Sighting]]]:
    """Yield the sightings of these RPIs in portions, each of one UTC day's scan windows."""
    windows = Entries(SCAN_WINDOWS.table, SCAN_WINDOWS.context, partial(_window, rpis))
    portion: list[Sighting] = []
    portion_day = since
    for day, window in windows.read(connection, vault, since):
        if portion and (day != portion_day or len(portion) >= SIGHTINGS_AT_ONCE):
            yield portion_day, portion
            portion = []
        portion_day = day
        portion += window.sightings()
    if portion:
        yield portion_day, portion


def _window(rpis: Collection[bytes], day: date, block: bytes) -> tuple[date, ScanWindow]:
    return day, ScanWindow.decode(block, rpis)


def _spoken(tek: TemporaryExposureKey) -> Sequence[bytes]:
    return derivation.identifiers(tek.key, tek.rolling_start, tek.rolling_period)
