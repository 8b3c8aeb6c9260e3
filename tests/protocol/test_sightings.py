import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadSighting
from forewarn_protocol.sightings import Sighting

LINE: dict[str, object] = {"rpi": "00" * 16, "aem": "ff" * 4, "rssi": -60, "time": 1585785600, "since_last_scan": 240}


def test_a_line_of_a_sightings_file_is_a_sighting() -> None:
    sighting = Sighting.from_json(json.dumps(LINE))
    assert (sighting.rssi_dbm, sighting.time_s, sighting.since_last_scan_s) == (-60, 1585785600, 240)
    assert sighting.payload.service_data == bytes(16) + b"\xff" * 4


def test_the_time_since_the_last_scan_may_be_missing() -> None:
    assert Sighting.from_json(json.dumps({**LINE, "since_last_scan": None})).since_last_scan_s is None
    del (shorter := dict(LINE))["since_last_scan"]
    assert Sighting.from_json(json.dumps(shorter)).since_last_scan_s is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rpi", "00" * 15),
        ("rpi", "0g" * 16),
        ("rpi", 7),
        ("rpi", "00" * 16 + "\n"),
        ("aem", "00"),
        ("rssi", -60.5),
        ("rssi", -200),
        ("rssi", True),
        ("rssi", 10**40),
        ("time", "now"),
        ("time", -1),
        ("time", 10**400),
        ("time", 253_402_300_800),
        ("time", float("nan")),
        ("time", float("inf")),
        ("since_last_scan", -1),
        ("since_last_scan", float("nan")),
    ],
)
def test_an_impossible_field_is_refused(field: str, value: object) -> None:
    with pytest.raises(BadSighting):
        Sighting.from_json(json.dumps({**LINE, field: value}))


def test_a_number_of_four_hundred_digits_is_not_repeated() -> None:
    with pytest.raises(BadSighting) as caught:
        Sighting.from_json(json.dumps({**LINE, "rssi": -(10**400)}))
    assert len(caught.value.message) < 100


@given(
    st.text(max_size=600)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from([*LINE]) | st.text(), inner) | st.lists(inner),
    ).map(json.dumps)
)
def test_random_lines_give_a_sighting_or_our_error(line: str) -> None:
    with suppress(BadSighting):
        Sighting.from_json(line)


def test_a_nesting_bomb_is_our_error() -> None:
    with pytest.raises(BadSighting):
        Sighting.from_json("[" * 500)
