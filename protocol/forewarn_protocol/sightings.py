"""One hearing of an identifier: payload, time, RSSI, time since the last scan."""

import json
import math
import re
from dataclasses import dataclass
from typing import Final, Self

from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadSighting
from forewarn_protocol.identifiers import EncryptedMetadata, RollingProximityIdentifier
from forewarn_protocol.intervals import END_OF_DATES_S

MAX_LINE_CHARACTERS: Final = 512
_RSSI_DBM: Final = range(-127, 21)
_HEX_RPI: Final = re.compile(r"[0-9a-fA-F]{32}\Z")
_HEX_AEM: Final = re.compile(r"[0-9a-fA-F]{8}\Z")


@dataclass(frozen=True, slots=True)
class Sighting:
    """An identifier as heard: RSSI in dBm, Unix time in seconds, seconds since the last scan (None: unknown).

    Raises:
        BadSighting: a number that no receiver reports.
    """

    payload: Payload
    rssi_dbm: int
    time_s: float
    since_last_scan_s: float | None = None

    def __post_init__(self) -> None:
        if self.rssi_dbm not in _RSSI_DBM:
            raise BadSighting("an RSSI is impossible: give -127..20 dBm")
        if not 0 <= self.time_s < END_OF_DATES_S:
            raise BadSighting("a sighting's time is impossible: give Unix seconds")
        since = self.since_last_scan_s
        if since is not None and not (math.isfinite(since) and since >= 0):
            raise BadSighting("the seconds since the last scan must be a number of at least 0")

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read one line of a sightings file: rpi, aem (hex), rssi, time, since_last_scan (optional).

        Raises:
            BadSighting: what is wrong with the line.
        """
        if len(line) > MAX_LINE_CHARACTERS:
            raise BadSighting(f"a line has over {MAX_LINE_CHARACTERS} characters")
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadSighting("a line is no JSON object") from error
        if not isinstance(fields, dict):
            raise BadSighting("a line is no JSON object")
        rpi, aem = fields.get("rpi"), fields.get("aem")
        if not (isinstance(rpi, str) and _HEX_RPI.match(rpi) and isinstance(aem, str) and _HEX_AEM.match(aem)):
            raise BadSighting('"rpi" must be 32 hexadecimal digits and "aem" 8')
        rssi, time = fields.get("rssi"), _number(fields, "time")
        if not isinstance(rssi, int) or isinstance(rssi, bool):
            raise BadSighting('"rssi" must be a whole number of dBm')
        since = None if fields.get("since_last_scan") is None else _number(fields, "since_last_scan")
        payload = Payload(RollingProximityIdentifier(bytes.fromhex(rpi)), EncryptedMetadata(bytes.fromhex(aem)))
        return cls(payload, rssi, time, since)


def _number(fields: dict[str, object], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSighting(f'"{name}" must be a number of seconds')
    try:
        number = float(value)
    except OverflowError as error:
        raise BadSighting(f'"{name}" is too large') from error
    if not math.isfinite(number):
        raise BadSighting(f'"{name}" must be a finite number')
    return number
