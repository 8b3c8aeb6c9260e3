import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.intervals import Interval, interval_at
from forewarn_protocol.keys import ReportType, TemporaryExposureKey
from forewarn_protocol.publishing import (
    KEY_RULES,
    PUBLISH_ERRORS,
    REPORT_TYPES,
    SET_RULES,
    SIZE_RULES,
    KeyRule,
    PublishAnswer,
    PublishedKey,
    PublishRequest,
    RequestRule,
    days_since_onset,
    may_become,
    parse_publish,
    published_onset_days,
    validate,
)
from forewarn_protocol.verification import TestType
from forewarn_protocol.windows import KeyMapping
from forewarn_protocol.wire import MAX_BODY_BYTES, base64_text

NOW_S = 1_622_200_000.0
NOW = interval_at(NOW_S)
TODAY = NOW - NOW % 144


def key(number: int = 1, start: int = TODAY - 144, period: int = 144, risk: int = 0) -> dict[str, object]:
    return {
        "key": base64_text(number.to_bytes(16)),
        "rollingStartNumber": start,
        "rollingPeriod": period,
        "transmissionRisk": risk,
    }


def body(keys: list[dict[str, object]], **fields: object) -> dict[str, object]:
    return {
        "temporaryExposureKeys": keys,
        "healthAuthorityID": "vn",
        "verificationPayload": "h.p.s",
        "hmacKey": base64_text(bytes(16)),
        **fields,
    }


def request(*keys: dict[str, object], **fields: object) -> PublishRequest:
    return parse_publish(json.dumps(body(list(keys), **fields)).encode())


def broken(*keys: dict[str, object]) -> list[str | None]:
    """Return the rule that each key broke; a good key first keeps the request as a whole alive."""
    good = key(999, TODAY - 7 * 144)
    verdicts = validate(request(good, *keys), NOW_S)
    assert verdicts[0].broken is None
    return [verdict.broken.name if verdict.broken else None for verdict in verdicts[1:]]


def test_a_request_is_read_as_it_stands_on_the_wire() -> None:
    read = request(key(), symptomOnsetInterval=NOW, traveler=True, revisionToken="r", padding="p" * 1024, other=1)
    assert (read.health_authority_id, read.verification_payload, read.hmac_key) == ("vn", "h.p.s", bytes(16))
    assert (read.symptom_onset_interval, read.traveler, read.revision_token) == (NOW, True, "r")
    assert read.keys[0].rolling_start_number == TODAY - 144
    assert parse_publish(read.encode()) == read


def test_a_device_writes_its_own_key_as_it_is_read() -> None:
    own = TemporaryExposureKey(bytes(range(16)), Interval(TODAY), 7)
    written = PublishedKey.of(own, transmission_risk=3)
    assert json.loads(written.encode()) == {
        "key": base64_text(bytes(range(16))),
        "rollingStartNumber": TODAY,
        "rollingPeriod": 7,
        "transmissionRisk": 3,
    }
    assert written.key_bytes == own.key
    assert PublishedKey(key="%", rolling_start_number=0, rolling_period=1).key_bytes == b""


def test_both_spellings_of_the_hmac_key_are_read() -> None:
    old = body([key()])
    old["hmackey"] = old.pop("hmacKey")
    assert parse_publish(json.dumps(old).encode()).hmac_key == bytes(16)


def test_a_request_shows_no_secret() -> None:
    read = request(key(7), revisionToken="t0ken", padding="p4dding")
    for secret in (base64_text((7).to_bytes(16)), "h.p.s", "t0ken", "p4dding", repr(bytes(16))):
        assert secret not in repr(read)
        assert secret not in repr(validate(read, NOW_S))


@pytest.mark.parametrize(
    "change",
    [
        {"hmacKey": base64_text(bytes(15))},
        {"hmacKey": "%"},
        {"healthAuthorityID": ""},
        {"verificationPayload": 7},
        {"temporaryExposureKeys": {}},
        {"temporaryExposureKeys": [7]},
        {"temporaryExposureKeys": [{"key": "x", "rollingStartNumber": "1", "rollingPeriod": 1}]},
        {"temporaryExposureKeys": [{"key": "x", "rollingStartNumber": 1.5, "rollingPeriod": 1}]},
        {"temporaryExposureKeys": [{"key": "x", "rollingStartNumber": 2**64, "rollingPeriod": 1}]},
        {"temporaryExposureKeys": [{"key": "x"}]},
        {"symptomOnsetInterval": -1},
        {"traveler": "yes"},
    ],
)
def test_a_malformed_request_is_refused_whole(change: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        request(key(), **change)


def test_a_request_over_64_kb_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BadMessage, match="at most"):
        parse_publish(b"{" + b" " * MAX_BODY_BYTES)


def test_good_keys_come_out_in_their_order_as_they_went_in() -> None:
    verdicts = validate(request(key(1, TODAY, 10, 3), key(2, TODAY - 144, 144, 8)), NOW_S)
    assert [verdict.tek for verdict in verdicts] == [
        TemporaryExposureKey((1).to_bytes(16), Interval(TODAY), 10),
        TemporaryExposureKey((2).to_bytes(16), Interval(TODAY - 144), 144),
    ]
    assert [verdict.transmission_risk for verdict in verdicts] == [3, 8]


@pytest.mark.parametrize(
    "text",
    ["", "%", base64_text(bytes(15)), base64_text(bytes(17)), base64_text(bytes(32)), "AAAAAAAAAAAAAAAAAAAAAB=="],
)
def test_a_key_of_another_length_or_in_a_second_spelling_is_dropped(text: str) -> None:
    assert broken({**key(), "key": text}) == ["key_length"]


@pytest.mark.parametrize(("period", "rule"), [(0, "rolling_period"), (145, "rolling_period"), (-1, "rolling_period")])
def test_a_period_outside_1_to_144_is_dropped(period: int, rule: str) -> None:
    assert broken(key(period=period)) == [rule]
    assert broken(key(1, TODAY - 144, 1), key(2, TODAY - 288, 144)) == [None, None]


def test_a_start_in_the_future_is_dropped_and_one_in_this_interval_is_not() -> None:
    assert broken(key(start=NOW + 1)) == ["start_in_future"]
    assert broken(key(start=NOW)) == [None]
    assert broken(key(start=2**40)) == ["start_in_future"]


def test_an_end_more_than_15_days_ago_is_dropped_and_15_days_are_not() -> None:
    assert broken(key(start=NOW - 15 * 144 - 10, period=9)) == ["too_old"]
    assert broken(key(start=NOW - 15 * 144 - 10, period=10)) == [None]
    assert broken(key(start=-1)) == ["too_old"]


@pytest.mark.parametrize(("risk", "rule"), [(-1, "transmission_risk"), (9, "transmission_risk"), (0, None), (8, None)])
def test_a_risk_outside_0_to_8_is_dropped(risk: int, rule: str | None) -> None:
    assert broken(key(risk=risk)) == [rule]


def test_one_bad_key_costs_only_itself_and_says_why() -> None:
    verdicts = validate(request(key(1), key(2, start=TODAY - 288, period=500), key(3, TODAY, 5)), NOW_S)
    assert [verdict.broken is None for verdict in verdicts] == [True, False, True]
    assert verdicts[1].tek is None
    assert verdicts[1].sentence == "key 1: a rolling period lies in 1..144"


def test_a_start_need_not_be_a_midnight() -> None:
    assert broken(key(start=TODAY - 100, period=60)) == [None]


def refused(*keys: dict[str, object]) -> str:
    with pytest.raises(Refused) as caught:
        validate(request(*keys), NOW_S)
    assert caught.value.code == "bad_request"
    return caught.value.message


def test_a_request_without_keys_or_with_none_that_is_good_is_refused() -> None:
    assert "at least one" in refused()
    assert "no key can be published" in refused(key(period=0))


def test_30_keys_are_taken_and_31_are_not() -> None:
    many = [key(number, TODAY - 20 * number, 20) for number in range(1, 32)]
    assert len(validate(request(*many[:30]), NOW_S)) == 30
    assert "at most 30" in refused(*many)


def test_3_keys_may_share_a_start_and_4_may_not() -> None:
    keys = [key(number, TODAY, number) for number in range(1, 5)]
    assert len(validate(request(*keys[:3]), NOW_S)) == 3
    assert "share one start" in refused(*keys)


def test_keys_that_overlap_with_different_starts_are_refused() -> None:
    assert "overlap" in refused(key(1, TODAY - 288, 144), key(2, TODAY - 145, 100))
    # The longest of those with one start counts, in whatever order they come.
    assert "overlap" in refused(key(1, TODAY - 288, 144), key(2, TODAY - 288, 10), key(3, TODAY - 200, 10))
    assert len(validate(request(key(1, TODAY - 288, 144), key(2, TODAY - 144, 144)), NOW_S)) == 2


def test_a_key_that_stands_twice_is_refused() -> None:
    assert "only once" in refused(key(1), key(1))


def test_the_same_body_has_the_same_fingerprint_whatever_its_padding_and_certificate() -> None:
    first = request(key(), padding="a")
    assert first.fingerprint() == request(key(), padding="bb").fingerprint()
    assert first.fingerprint() == request(key(), verificationPayload="another").fingerprint()
    for other in (
        request(key(2)),
        request(key(), traveler=True),
        request(key(), revisionToken="x"),
        request(key(), symptomOnsetInterval=5),
        request(key(), hmacKey=base64_text(b"1" * 16)),
    ):
        assert first.fingerprint() != other.fingerprint()


def test_the_table_of_revisions() -> None:
    allowed = {(old.value, new.value) for old, new in product(TestType, TestType) if may_become(old, new)}
    assert allowed == {
        ("likely", "confirmed"),
        ("likely", "negative"),
        ("user-report", "confirmed"),
        ("user-report", "likely"),
        ("user-report", "negative"),
    }


def test_each_finding_has_its_number_in_exports() -> None:
    assert {kind.value: number for kind, number in REPORT_TYPES.items()} == {
        "confirmed": ReportType.CONFIRMED_TEST,
        "likely": ReportType.CONFIRMED_CLINICAL_DIAGNOSIS,
        "user-report": ReportType.SELF_REPORT,
        "negative": ReportType.REVOKED,
    }


def tek_of(day: int) -> TemporaryExposureKey:
    return TemporaryExposureKey(bytes(16), Interval(TODAY + day * 144))


def test_days_since_onset_count_utc_days() -> None:
    onset = Interval(TODAY - 3 * 144 + 143)
    assert [days_since_onset(tek_of(day), onset, NOW_S) for day in (-5, -3, 0)] == [-2, 0, 3]


@pytest.mark.parametrize("onset", [None, 0, NOW + 1, TODAY - 15 * 144, TODAY - 60 * 144])
def test_an_onset_that_does_not_count_is_taken_as_four_days_before_the_upload(onset: int | None) -> None:
    assert days_since_onset(tek_of(0), None if onset is None else Interval(onset), NOW_S) == 4


def test_an_onset_14_days_from_a_key_still_counts() -> None:
    assert days_since_onset(tek_of(0), Interval(TODAY - 14 * 144), NOW_S) == 14
    assert days_since_onset(tek_of(-14), Interval(TODAY), NOW_S) == -14


@pytest.mark.parametrize("days", range(-14, 15))
def test_an_export_gives_one_representative_day_that_devices_read_as_the_same_class(days: int) -> None:
    table = KeyMapping().infectiousness_by_onset_day
    assert published_onset_days(days) in {-14, 0, 7}
    assert table.get(published_onset_days(days)) == table.get(days)


def test_every_error_code_of_the_protocol_has_a_status() -> None:
    assert set(PUBLISH_ERRORS) == {
        *("unknown_health_authority_id", "unable_to_load_health_authority", "health_authority_missing_region_config"),
        *("health_authority_verification_certificate_invalid", "bad_request", "internal_error"),
        *("missing_revision_token", "invalid_revision_token", "key_already_revised"),
        *("invalid_report_type_transition", "partial_failure"),
    }
    assert PUBLISH_ERRORS["partial_failure"] == 200


def test_every_rule_has_a_name_of_its_own_and_a_reason() -> None:
    rules: list[KeyRule | RequestRule] = [*KEY_RULES, *SIZE_RULES, *SET_RULES]
    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.reason for rule in rules)


def test_an_answer_carries_the_names_of_the_wire() -> None:
    answer = PublishAnswer(
        revision_token="r3v", inserted_exposures=2, code="partial_failure", error="e", warnings=("w",)
    )
    assert json.loads(answer.encode()) == {
        "revisionToken": "r3v",
        "insertedExposures": 2,
        "error": "e",
        "code": "partial_failure",
        "warnings": ["w"],
        "padding": "",
    }
    assert "r3v" not in repr(answer)
    assert PublishAnswer.parse(answer.encode()) == answer


wire_keys = st.builds(
    PublishedKey,
    key=st.binary(max_size=20).map(base64_text) | st.text(max_size=30),
    rolling_start_number=st.integers(NOW - 3000, NOW + 100) | st.integers(-(2**63), 2**63 - 1),
    rolling_period=st.integers(1, 144) | st.integers(-(2**63), 2**63 - 1),
    transmission_risk=st.integers(0, 8) | st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(wire_keys, max_size=35))
def test_any_keys_get_a_verdict_each_or_are_refused_together(keys: list[PublishedKey]) -> None:
    whole = PublishRequest(keys=tuple(keys), health_authority_id="vn", verification_payload="x", hmac_key=bytes(16))
    try:
        verdicts = validate(whole, NOW_S)
    except Refused:
        return
    assert [verdict.position for verdict in verdicts] == list(range(len(keys)))
    assert all((verdict.tek is None) != (verdict.broken is None) for verdict in verdicts)
    for verdict in verdicts:
        if verdict.tek:
            assert verdict.tek.rolling_start <= NOW
            assert verdict.tek.end >= NOW - 15 * 144
            assert -14 <= days_since_onset(verdict.tek, Interval(NOW), NOW_S) <= 14
