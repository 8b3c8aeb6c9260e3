"""Matching on files given by hand: sightings and exports in, matched keys, windows and daily summaries out."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from pydantic import Field

from forewarn_protocol.configuration import MAX_CONFIGURATION_BYTES
from forewarn_protocol.errors import BadExport, BadFeed, BadSighting, NotVerified
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.feeds import FeedPart
from forewarn_protocol.intervals import TOLERANCE_INTERVALS
from forewarn_protocol.keys import DiagnosisKey
from forewarn_protocol.matching import Match, SightingIndex, match
from forewarn_protocol.risk import RiskConfiguration
from forewarn_protocol.risk.gaen import DailySummary, daily_summaries
from forewarn_protocol.sightings import MAX_LINE_CHARACTERS, Sighting
from forewarn_protocol.windows import ExposureWindow, exposure_windows
from forewarn_protocol.wire import parse_json
from forewarn_shell.files import read_bounded

_MAX_LINE_BYTES: Final = 4 * MAX_LINE_CHARACTERS

Keys = Iterable[DiagnosisKey]


class Rules(FeedPart):
    """How tolerant matching is, and how windows are scored: what a configuration says of it, whatever else it says."""

    tolerance_intervals: Annotated[int, Field(ge=0, le=TOLERANCE_INTERVALS)] = TOLERANCE_INTERVALS
    risk: RiskConfiguration = Field(default_factory=RiskConfiguration)


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What matching found; `windows` holds every report type, `summaries` only what counts."""

    keys_checked: int
    matches: Sequence[Match]
    windows: Sequence[ExposureWindow]
    summaries: Sequence[DailySummary]

    @property
    def matched_sightings(self) -> int:
        """How many sightings stand, over all keys."""
        return sum(len(found.sightings) for found in self.matches)

    def as_json(self) -> dict[str, Any]:
        """Return the report under the names of the command's contract."""
        return {
            "keys_checked": self.keys_checked,
            "matched_keys": [found.key.tek.key.hex() for found in self.matches],
            "matched_sightings": self.matched_sightings,
            "windows": [
                {
                    "day": window.day.isoformat(),
                    "seconds": window.seconds,
                    "typical_db": window.typical_db,
                    "minimum_db": window.minimum_db,
                    "report_type": int(window.report_type),
                    "infectiousness": int(window.infectiousness),
                }
                for window in self.windows
            ],
            "daily_summaries": [
                {"day": summary.day.isoformat(), "sum": summary.sum_s, "maximum": summary.maximum_s}
                for summary in self.summaries
            ],
        }


def match_files(
    sightings: Path,
    exports: Sequence[Path],
    public_keys: Sequence[EllipticCurvePublicKey] | None,
    rules: Rules,
    watched: Callable[[Keys, int], Iterable[DiagnosisKey]],
) -> MatchReport:
    """Match a sightings file with export files; nothing is matched unless every export verifies.

    No public keys means that signatures are not looked at. `watched(keys, how_many)` hands the keys through and may
    show progress. Receiver correction 0, no cap on transmit power.

    Raises:
        BadSighting: a line of the sightings, by its number.
        BadExport: an export that is none, by its name.
        NotVerified: an export that none of the public keys signed.
    """
    with ExitStack() as stack:
        opened = [_open(stack.enter_context(path.open("rb")), path, public_keys) for path in exports]
        index = SightingIndex(read_sightings(sightings))
        files = list(zip(opened, exports, strict=True))
        # Of a key that comes twice the later word counts: revised keys come last, in whatever order the files stand.
        fresh = (_named(file.keys(), path) for file, path in files)
        revised = (_named(file.revised_keys(), path) for file, path in files)
        keys = chain.from_iterable(chain(fresh, revised))
        count = sum(file.key_count + file.revised_key_count for file in opened)
        matches = list(match(watched(keys, count), index, tolerance_intervals=rules.tolerance_intervals))
    windows = [window for found in matches for window in exposure_windows(found, rules.risk.mapping)]
    return MatchReport(count, matches, windows, daily_summaries(windows, rules.risk.gaen))


def read_sightings(path: Path) -> Iterator[Sighting]:
    """Yield the sightings of a file of JSON lines; empty lines are passed over.

    Raises:
        BadSighting: a line that is none, by its number.
    """
    with path.open("rb") as file:
        number = 0
        # A file without line ends is read no further than the longest line that can be one.
        while line := file.readline(_MAX_LINE_BYTES + 1):
            number += 1
            if line.isspace():
                continue
            try:
                yield Sighting.from_json(line.decode())
            except UnicodeDecodeError:
                raise BadSighting(f"{path} line {number}: not UTF-8 text") from None
            except BadSighting as error:
                raise BadSighting(f"{path} line {number}: {error.message}") from None


def read_rules(path: Path | None) -> Rules:
    """Read a region's configuration, what its operator set of one, or its risk part alone; no file: defaults.

    Raises:
        BadFeed: it is neither.
    """
    if path is None:
        return Rules()
    body = read_bounded(path, MAX_CONFIGURATION_BYTES)
    try:
        return _rules(body)
    except BadFeed as error:
        raise BadFeed(f"{path}: {error.message}") from None


def _rules(body: bytes) -> Rules:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise BadFeed("this is no JSON object: give a region's configuration, or its risk part")
    if Rules.model_fields.keys() & fields.keys():
        return parse_json(Rules, body, error=BadFeed, limit_bytes=MAX_CONFIGURATION_BYTES)
    if not RiskConfiguration.model_fields.keys() & fields.keys():
        raise BadFeed("there is nothing about risk in it: give a region's configuration, or its risk part")
    return Rules(risk=parse_json(RiskConfiguration, body, error=BadFeed, limit_bytes=MAX_CONFIGURATION_BYTES))


def _named(keys: Keys, path: Path) -> Iterator[DiagnosisKey]:
    try:
        yield from keys
    except BadExport as error:
        raise BadExport(f"{path}: {error.message}") from None


def _open(file: BinaryIO, path: Path, public_keys: Sequence[EllipticCurvePublicKey] | None) -> ExportFile:
    try:
        export = ExportFile.open(file)
        if public_keys is not None:
            export.verify(public_keys)
    except BadExport as error:
        raise BadExport(f"{path}: {error.message}") from error
    except NotVerified as error:
        raise NotVerified(f"{path}: {error.message}") from error
    return export
