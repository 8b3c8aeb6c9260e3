"""Lines of a sightings file given to `match` by hand."""

import json
from collections.abc import Mapping

from forewarn_protocol.errors import BadSighting
from forewarn_protocol.sightings import Sighting
from tests.fuzz.target import Target

_LINE = {"rpi": "00112233445566778899aabbccddeeff", "aem": "40050000", "rssi": -60, "time": 1_620_000_000}


def check(data: bytes) -> None:
    try:
        sighting = Sighting.from_json(data.decode(errors="replace"))
    except BadSighting:
        return
    payload = sighting.payload
    line = {"rpi": payload.rpi.hex(), "aem": payload.aem.hex(), "rssi": sighting.rssi_dbm, "time": sighting.time_s}
    assert Sighting.from_json(json.dumps({**line, "since_last_scan": sighting.since_last_scan_s})) == sighting


def seeds() -> Mapping[str, bytes]:
    return {
        "whole": json.dumps({**_LINE, "since_last_scan": 150.5}).encode(),
        "shortest": json.dumps(_LINE).encode(),
        "with-more": json.dumps({**_LINE, "since_last_scan": None, "later": [1]}).encode(),
    }


TARGET = Target(
    check,
    seeds,
    (b'"rpi"', b'"aem"', b'"rssi"', b'"time"', b'"since_last_scan"', b"NaN", b"Infinity", b"1e999", b"null", b"true"),
    600,
    is_json=True,
)
