import json

import pytest

from forewarn_protocol.configuration import (
    MAX_CONFIGURATION_BYTES,
    DeviceConfiguration,
    ExportKey,
    MedianTransmitPower,
    parse_configuration,
)
from forewarn_protocol.errors import BadFeed
from forewarn_protocol.exports.signing import public_key_to_base64
from forewarn_protocol.feeds import FeedHead
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.risk import RiskConfiguration, Rule
from tests.protocol.handmade_exports import private_key

KEY = ExportKey(key_id="vn", key_version="v1", public_key=public_key_to_base64(private_key(1).public_key()))
CONFIGURATION = DeviceConfiguration(
    sequence=4,
    issued=1_620_000_000,
    expires=1_620_086_400,
    region="vn",
    health_authority_id="vn.moh",
    export_keys=(KEY,),
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(CONFIGURATION.encode()), **fields}).encode()


def test_a_configuration_is_written_and_read_back() -> None:
    full = CONFIGURATION.model_copy(
        update={
            "risk": RiskConfiguration(rule=Rule.GAEN),
            "median_tx_dbm": MedianTransmitPower(high=-24),
            "tolerance_intervals": 6,
        }
    )
    read = parse_configuration(full.encode())
    assert read == full
    assert read.head == FeedHead(4, 1_620_000_000, 1_620_086_400)
    assert [key.public_numbers() for key in read.public_keys()] == [private_key(1).public_key().public_numbers()]


def test_what_a_configuration_leaves_out_has_the_protocol_s_defaults() -> None:
    short = json.loads(CONFIGURATION.encode())
    for name in ("tolerance_intervals", "minimum_distinct_rpis", "median_tx_dbm", "risk"):
        del short[name]
    read = parse_configuration(json.dumps(short).encode())
    assert (read.tolerance_intervals, read.minimum_distinct_rpis) == (12, 1)
    assert read.risk == RiskConfiguration()
    assert read.median_tx_dbm.by_confidence() == {}


def test_unknown_fields_are_ignored() -> None:
    assert parse_configuration(changed(invented_later={"x": [1]})) == CONFIGURATION


def test_the_medians_of_transmit_power_go_by_confidence() -> None:
    medians = MedianTransmitPower(low=-20, high=-24)
    assert medians.by_confidence() == {Confidence.LOW: -20, Confidence.HIGH: -24}


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance_intervals": 13},
        {"tolerance_intervals": -1},
        {"minimum_distinct_rpis": 0},
        {"minimum_distinct_rpis": 21},
        {"export_keys": []},
        {"export_keys": [{"key_id": "vn", "key_version": "v1", "public_key": "AAAA"}]},
        {"median_tx_dbm": {"high": 60}},
        {"median_tx_dbm": {"high": None, "low": "x"}},
        {"risk": {"rule": "coin"}},
        {"risk": {"rule": "cwa"}},
        {"risk": 7},
        {"region": "../vn"},
        {"region": "VN"},
        {"sequence": 0},
        {"expires": 1_620_000_000},
        {"expires": None},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    assert parse_configuration(changed()) == CONFIGURATION
    with pytest.raises(BadFeed):
        parse_configuration(changed(**change))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("where", ["minimum_distinct_rpis", "alert_minutes"])
def test_a_number_that_is_none_is_refused(number: str, where: str) -> None:
    change = {"risk": {"minutes": {where: 7}}} if where == "alert_minutes" else {where: 7}
    body = changed(**change)
    assert parse_configuration(body).sequence == 4
    with pytest.raises(BadFeed):
        parse_configuration(body.replace(b'"%s": 7' % where.encode(), b'"%s": %s' % (where.encode(), number.encode())))


def test_a_configuration_larger_than_we_read_is_refused() -> None:
    with pytest.raises(BadFeed, match="at most"):
        parse_configuration(CONFIGURATION.encode() + b" " * MAX_CONFIGURATION_BYTES)
