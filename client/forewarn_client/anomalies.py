"""What was strange about sightings of published keys: signs of replays and of flipped bits, told in words only.

Exact counts would say how often this device heard a case whom no alert mentions.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Final

from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import Vault, day_number
from forewarn_protocol.errors import BadInput
from forewarn_protocol.matching import Anomaly

MANY: Final = 10
"""Sightings of one kind from which on they are many: a clock that was off for a moment makes a few."""


def keep(connection: sqlite3.Connection, vault: Vault, counts: Mapping[Anomaly, int], day: date) -> None:
    """Store what a file's matching counted, inside a transaction that is open, under the UTC day of the matching."""
    if any(counts.values()):
        sealed = vault.seal(connection, day, json.dumps(counts).encode(), ANOMALIES.context)
        connection.execute("INSERT INTO anomalies (day, sealed) VALUES (?, ?)", (day_number(day), sealed))


def remembered(connection: sqlite3.Connection, vault: Vault) -> Counter[Anomaly]:
    """Return the counts of the days that are kept."""
    total = Counter[Anomaly]()
    for counts in ANOMALIES.read(connection, vault):
        total += counts
    return total


def in_words(counts: Mapping[Anomaly, int]) -> dict[str, str]:
    """Return 'few' or 'many' for each kind that was met."""
    return {str(kind): "many" if counts[kind] >= MANY else "few" for kind in Anomaly if counts.get(kind)}


def _decode(_: date, record: bytes) -> Counter[Anomaly]:
    try:
        return Counter({Anomaly(kind): int(count) for kind, count in json.loads(record).items()})
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput("counts in the diary are damaged: erase the diary to start a new one") from error


ANOMALIES: Final = Entries("anomalies", b"anomalies", _decode)
