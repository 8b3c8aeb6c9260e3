"""What everything that matched comes to by the authority's rule, with the sightings of a few keys at a time."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from forewarn_client import matches
from forewarn_client.diary.vault import Vault
from forewarn_client.matches import Heard
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.intervals import day_at
from forewarn_protocol.matching import Anomaly, Match, SightingIndex, match
from forewarn_protocol.risk import Verdict, counts
from forewarn_protocol.risk import judge as judge_risk

SIGHTINGS_AT_ONCE: Final = 20_000
"""About 10 MB as sightings and their matches; a key that was heard more often stands alone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict a day.

    `strange` counts the sightings that the configuration dropped or capped; `corrected` are the UTC days on which a key
    was heard that counts for nothing since it was revised.
    """

    verdicts: tuple[Verdict, ...] = ()
    strange: dict[Anomaly, int] = field(default_factory=dict)
    corrected: frozenset[date] = frozenset()


def judge(
    connection: sqlite3.Connection, vault: Vault, configuration: DeviceConfiguration, receiver_correction_db: float
) -> Judged:
    """Judge all matches together.

    So a day's minutes add up over files, and a new configuration counts for old days.
    """
    strange, corrected = Counter[Anomaly](), set[date]()
    verdicts = judge_risk(
        _matched(connection, vault, configuration, strange, corrected),
        configuration.risk,
        receiver_correction_db=receiver_correction_db,
        minimum_distinct_rpis=configuration.minimum_distinct_rpis,
    )
    return Judged(tuple(verdicts), strange, frozenset(corrected))


def matched(connection: sqlite3.Connection, vault: Vault, configuration: DeviceConfiguration) -> list[Match]:
    """Return one match a key, on which `judge` rests."""
    return list(_matched(connection, vault, configuration, Counter(), set()))


def _matched(
    connection: sqlite3.Connection,
    vault: Vault,
    configuration: DeviceConfiguration,
    strange: Counter[Anomaly],
    corrected: set[date],
) -> Iterator[Match]:
    # The diary keeps a key in parts: per day, and once more for each file that named it. The same matching that found
    # the parts joins them, with the tolerance and the caps of today's configuration.
    parts = matches.words(connection, vault)
    words = matches.newest_words(word for word, _ in parts)
    sizes = Counter[bytes]()
    for word, count in parts:
        sizes[word.key.tek.key] += count
    for group in _groups(words, sizes):
        heard = matches.remembered(connection, vault, {word.key.tek.key for word in group})
        withdrawn = {word.key.tek.key for word in group if word.revised and not counts(word.key, configuration.risk)}
        corrected.update(
            day_at(sighting.time_s) for part in heard if part.key.tek.key in withdrawn for sighting in part.sightings
        )
        yield from match(
            (word.key for word in group),
            SightingIndex({sighting for part in heard for sighting in part.sightings}),
            tolerance_intervals=configuration.tolerance_intervals,
            median_tx_dbm=configuration.median_tx_dbm.by_confidence(),
            anomalies=strange,
        )


def _groups(words: Iterable[Heard], sizes: Mapping[bytes, int]) -> Iterator[list[Heard]]:
    group, size = list[Heard](), 0
    for word in words:
        more = sizes[word.key.tek.key]
        if group and size + more > SIGHTINGS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(word)
        size += more
    if group:
        yield group
