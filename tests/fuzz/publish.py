"""Publish requests: what phones send, judged as the server judges it."""

import json
from collections.abc import Mapping

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.intervals import interval_at
from forewarn_protocol.publishing import MAX_KEYS, PublishRequest, days_since_onset, parse_publish, validate
from forewarn_protocol.verification import tekmac
from tests.fuzz.target import Target
from tests.protocol.test_publishing import NOW_S, TODAY, body, key


def check(data: bytes) -> None:
    try:
        request = parse_publish(data)
    except (BadMessage, Refused) as error:
        assert "\n" not in error.message
        return
    again = parse_publish(request.encode())
    assert again == request
    assert again.fingerprint() == request.fingerprint()
    assert len(tekmac(request.keys, request.hmac_key)) == 32
    try:
        _judge(request)
    except Refused as error:
        assert error.code == "bad_request"


def _judge(request: PublishRequest) -> None:
    verdicts = validate(request, NOW_S)
    assert len(verdicts) == len(request.keys) <= MAX_KEYS
    now = interval_at(NOW_S)
    for verdict in verdicts:
        if verdict.tek is None:
            assert verdict.broken is not None
            continue
        assert verdict.tek.rolling_start <= now
        assert abs(days_since_onset(verdict.tek, request.symptom_onset_interval, NOW_S)) <= 14


def seeds() -> Mapping[str, bytes]:
    days = [key(number, TODAY - 144 * number, risk=number % 3) for number in range(1, 5)]
    today = {**key(9, TODAY, 77), "transmissionRisk": None}
    full = body([*days, today], symptomOnsetInterval=TODAY - 288, traveler=True, revisionToken="cmV2", padding="x")
    old = body([key()])
    old["hmackey"] = old.pop("hmacKey")
    return {"four-days": json.dumps(full).encode(), "one-key-and-the-old-name": json.dumps(old).encode()}


_WORDS = (
    *(b'"temporaryExposureKeys"', b'"key"', b'"rollingStartNumber"', b'"rollingPeriod"', b'"transmissionRisk"'),
    *(b'"healthAuthorityID"', b'"verificationPayload"', b'"hmacKey"', b'"hmackey"', b'"symptomOnsetInterval"'),
    *(b'"traveler"', b'"revisionToken"', b'"padding"', b"null", b"true", b"-1", b"1e400", b"9223372036854775808"),
    *(b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"[[[[[[[["),
)
TARGET = Target(check, seeds, _WORDS, 4_096, is_json=True)
