"""The two questions that are asked of a diary away from the daemon, and how each is answered: by reading alone."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from sqlite3 import Connection
from typing import BinaryIO

from forewarn_client.assessing.comparing import compare
from forewarn_client.assessing.judgement import Judged, judge
from forewarn_client.diary import feeds
from forewarn_client.diary.database import connect_to_read, explained
from forewarn_client.diary.vault import Vault
from forewarn_protocol.configuration import parse_configuration
from forewarn_protocol.errors import Missing
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.matching import Anomaly


@dataclass(frozen=True, slots=True)
class Place:
    """Where a diary lies, and the key that opens it: their files, never the key itself."""

    database: Path
    device_key: Path


@dataclass(frozen=True, slots=True)
class Compared:
    """How many keys a file holds, and what was strange about sightings of them."""

    keys: int
    strange: dict[Anomaly, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which of a file's keys were heard since a UTC day? The file must be signed by one of `export_keys` (base64)."""

    place: Place
    export_keys: tuple[str, ...]
    since: date

    def answer(self, export: BinaryIO, found: BinaryIO) -> Compared:
        """Verify the file, and write into `found` what the diary is to keep of it."""
        with _readable(self.place) as (connection, vault):
            file = ExportFile.open_zip(export)
            file.verify([public_key_from_base64(key) for key in self.export_keys])
            strange = compare(connection, vault, file, self.since, found)
        return Compared(file.key_count + file.revised_key_count, strange)


@dataclass(frozen=True, slots=True)
class Judging:
    """What does everything that matched come to, by the configuration that stands in the diary under this path?"""

    place: Place
    configuration: str
    receiver_correction_db: float

    def answer(self) -> Judged:
        """Judge all matches; before the first configuration there is nothing to judge by."""
        with _readable(self.place) as (connection, vault):
            body = feeds.body(connection, self.configuration)
            if body is None:
                return Judged()
            return judge(connection, vault, parse_configuration(body), self.receiver_correction_db)


@contextmanager
def _readable(place: Place) -> Iterator[tuple[Connection, Vault]]:
    """Open the diary.

    Raises:
        Missing: there is not enough memory, or what was found can't be written.
    """
    try:
        if not place.device_key.exists():
            raise Missing(f"{place.device_key} is gone, and the diary is sealed with it: bring it back")
        with explained(place.database), closing(connect_to_read(place.database)) as connection:
            yield connection, Vault.read(place.device_key)
    except MemoryError:
        raise Missing("there is not enough memory to compare keys with the diary: end other programs") from None
    except OSError as error:
        raise Missing(f"{place.database.parent} cannot be written ({error.strerror}): free some space") from error
