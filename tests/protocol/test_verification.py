import hmac
import json
from base64 import b64decode
from datetime import date
from pathlib import Path

import pytest

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.publishing import PublishedKey
from forewarn_protocol.verification import (
    VERIFICATION_ERRORS,
    BatchIssueAnswer,
    BatchIssueRequest,
    CertificateClaims,
    CertificateRequest,
    ErrorAnswer,
    ExpireRequest,
    IssueAnswer,
    IssueRequest,
    StatusAnswer,
    TestType,
    VerifyAnswer,
    VerifyRequest,
    matches_tekmac,
    refuse,
    tekmac,
    tekmac_without_risk,
)
from forewarn_protocol.wire import WireModel, base64_text

UUID = "5148c75c-2bc5-4874-9d1c-f9185d0e1b8a"
HMAC_KEY = bytes(range(16))


def published(text: str, start: int = 1, period: int = 144, risk: int = 0) -> PublishedKey:
    return PublishedKey(key=text, rolling_start_number=start, rolling_period=period, transmission_risk=risk)


def hmac_cases(vectors: Path) -> list[dict[str, object]]:
    cases: list[dict[str, object]] = json.loads((vectors / "tek_hmac.json").read_text())["cases"]
    return cases


def keys_of(case: dict[str, object]) -> list[PublishedKey]:
    return [PublishedKey.model_validate_json(json.dumps(key)) for key in case["keys"]]  # type: ignore[attr-defined]


@pytest.mark.shared
def test_the_published_hmacs_come_out(vectors: Path) -> None:
    cases = hmac_cases(vectors)
    assert [case["name"] for case in cases] == ["with_transmission_risk", "zero_risk"]
    for case in cases:
        secret, keys = bytes.fromhex(str(case["secret_hex"])), keys_of(case)
        assert tekmac(keys, secret) == b64decode(str(case["hmac_b64"]))
        assert tekmac(keys[::-1], secret) == b64decode(str(case["hmac_b64"]))
        assert matches_tekmac(keys, secret, b64decode(str(case["hmac_b64"])))


@pytest.mark.shared
def test_the_published_hmac_without_risk_comes_out_and_counts_only_if_every_risk_is_0(vectors: Path) -> None:
    with_risk, zero_risk = hmac_cases(vectors)
    secret = bytes.fromhex(str(zero_risk["secret_hex"]))
    short = tekmac_without_risk(keys_of(zero_risk), secret)
    assert short == b64decode(str(zero_risk["alt_hmac_b64"]))
    assert matches_tekmac(keys_of(zero_risk), secret, short)
    with pytest.raises(BadMessage, match="risk"):
        tekmac_without_risk(keys_of(with_risk), secret)
    # The same keys with risks set to 0 have the HMAC that must not pass for the keys as they are.
    stripped = [key.model_copy(update={"transmission_risk": 0}) for key in keys_of(with_risk)]
    assert not matches_tekmac(keys_of(with_risk), secret, tekmac_without_risk(stripped, secret))


def test_the_hmac_sorts_by_the_text_of_the_keys() -> None:
    # As text "/" comes before "A"; as bytes it is the other way round.
    slash, letter = published(base64_text(b"\xff" * 16)), published(base64_text(bytes(16)))
    expected = hmac.digest(HMAC_KEY, f"{slash.key}.1.144.0,{letter.key}.1.144.0".encode(), "sha256")
    assert tekmac([slash, letter], HMAC_KEY) == expected
    assert tekmac([letter, slash], HMAC_KEY) == expected


@pytest.mark.parametrize(
    "other",
    [
        published("z2Cx9hdz2SlxZ8GEgqTYpA==", start=2),
        published("z2Cx9hdz2SlxZ8GEgqTYpA==", period=143),
        published("z2Cx9hdz2SlxZ8GEgqTYpA==", risk=1),
        published("dPCphLzfG4uzXneNimkPRQ=="),
    ],
)
def test_the_hmac_binds_every_part_of_a_key(other: PublishedKey) -> None:
    key = published("z2Cx9hdz2SlxZ8GEgqTYpA==")
    assert not matches_tekmac([other], HMAC_KEY, tekmac([key], HMAC_KEY))
    assert not matches_tekmac([key, other], HMAC_KEY, tekmac([key], HMAC_KEY))
    assert not matches_tekmac([key], bytes(16), tekmac([key], HMAC_KEY))
    assert matches_tekmac([key], HMAC_KEY, tekmac([key], HMAC_KEY))


def test_an_hmac_key_of_less_than_128_bits_is_refused() -> None:
    with pytest.raises(BadMessage, match="at least 16"):
        tekmac([published("x")], bytes(15))


def test_an_issue_request_is_read_as_it_stands_on_the_wire() -> None:
    body = {"testType": "likely", "symptomDate": "2021-05-28", "testDate": "", "uuid": UUID, "padding": "x"}
    request = IssueRequest.parse(json.dumps(body).encode())
    assert request.test_type is TestType.LIKELY
    assert (request.symptom_date, request.test_date, request.uuid) == (date(2021, 5, 28), None, UUID)


@pytest.mark.parametrize("day", ["2021-13-01", "2021-02-30", "28.05.2021", "2021-5-28", "20210528", 1622160000, True])
def test_a_date_that_is_none_is_refused(day: object) -> None:
    with pytest.raises(BadMessage):
        IssueRequest.parse(json.dumps({"testType": "likely", "symptomDate": day}).encode())


def test_answers_carry_the_names_of_the_wire() -> None:
    issued = IssueAnswer(
        uuid=UUID,
        code="12345678",
        expires_at="Fri, 28 May 2021 12:15:00 UTC",
        expires_at_timestamp=1,
        long_code="abcdefghijklmnop",
        long_expires_at="Sat, 29 May 2021 12:00:00 UTC",
        long_expires_at_timestamp=2,
    )
    assert set(json.loads(issued.encode())) == {
        *("uuid", "code", "expiresAt", "expiresAtTimestamp"),
        *("longCode", "longExpiresAt", "longExpiresAtTimestamp", "padding"),
    }
    assert "12345678" not in repr(issued)
    assert "abcdefghijklmnop" not in repr(issued)
    verified = VerifyAnswer(testtype=TestType.CONFIRMED, token="t0ken", symptom_date=date(2021, 5, 28))
    assert json.loads(verified.encode()) == {
        "testtype": "confirmed",
        "symptomDate": "2021-05-28",
        "token": "t0ken",
        "padding": "",
    }
    assert "t0ken" not in repr(verified)
    assert VerifyAnswer.parse(verified.encode()) == verified
    status = StatusAnswer(claimed=True, expires_at_timestamp=1, long_expires_at_timestamp=2)
    assert json.loads(status.encode())["longExpiresAtTimestamp"] == 2
    assert json.loads(ErrorAnswer(error="no", error_code="code_invalid").encode())["errorCode"] == "code_invalid"
    batch = BatchIssueAnswer(answers=(issued, ErrorAnswer(error="no", error_code="quota_exceeded")))
    assert [set(answer) & {"code", "errorCode"} for answer in json.loads(batch.encode())["codes"]] == [
        {"code"},
        {"errorCode"},
    ]
    assert BatchIssueAnswer.parse(batch.encode()) == batch


def test_a_batch_asks_for_1_to_10_codes() -> None:
    one = {"testType": "confirmed"}
    assert len(BatchIssueRequest.parse(json.dumps({"codes": [one] * 10}).encode()).requests) == 10
    for count in (0, 11):
        with pytest.raises(BadMessage):
            BatchIssueRequest.parse(json.dumps({"codes": [one] * count}).encode())


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        (IssueRequest, {"testType": "maybe"}, "invalid_test_type"),
        (BatchIssueRequest, {"codes": [{"testType": "maybe"}]}, "invalid_test_type"),
        (VerifyRequest, {"code": ""}, "code_invalid"),
        (VerifyRequest, {"code": "1" * 65}, "code_invalid"),
        (VerifyRequest, {"code": "12345678", "accept": ["maybe"]}, "invalid_test_type"),
        (CertificateRequest, {"token": "", "ekeyhmac": base64_text(bytes(32))}, "token_invalid"),
        (CertificateRequest, {"token": "t", "ekeyhmac": base64_text(bytes(31))}, "hmac_invalid"),
        (CertificateRequest, {"token": "t", "ekeyhmac": "%"}, "hmac_invalid"),
    ],
)
def test_a_wrong_field_is_refused_with_its_own_code(model: type[WireModel], body: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as caught:
        model.parse(json.dumps(body).encode())
    assert caught.value.code == code
    assert code in VERIFICATION_ERRORS


def test_a_nonce_has_32_bytes() -> None:
    body = {"code": "12345678", "nonce": base64_text(bytes(32))}
    assert VerifyRequest.parse(json.dumps(body).encode()).nonce == bytes(32)
    for wrong in (bytes(31), bytes(33)):
        with pytest.raises(BadMessage, match="32 bytes"):
            VerifyRequest.parse(json.dumps({**body, "nonce": base64_text(wrong)}).encode())


@pytest.mark.parametrize("uuid", ["", "5148c75c", UUID + "x", UUID.replace("-", ""), "../../x", 7])
def test_a_uuid_that_is_none_is_refused(uuid: object) -> None:
    with pytest.raises(BadMessage):
        ExpireRequest.parse(json.dumps({"uuid": uuid}).encode())


def test_certificate_claims_are_read_and_hide_what_identifies() -> None:
    claims = {
        "iss": "forewarn",
        "aud": "vn",
        "iat": 1,
        "exp": 901,
        "jti": "j7i",
        "reportType": "confirmed",
        "tekmac": base64_text(bytes(32)),
        "symptomOnsetInterval": 2_700_000,
    }
    read = CertificateClaims.parse(json.dumps(claims).encode())
    assert (read.report_type, read.symptom_onset_interval, read.tekmac) == (TestType.CONFIRMED, 2_700_000, bytes(32))
    assert "j7i" not in repr(read)
    assert json.loads(read.encode()) == claims


def test_every_error_code_of_the_protocol_has_a_status_and_a_sentence() -> None:
    protocol = {
        *("code_invalid", "code_expired", "code_not_found", "invalid_test_type", "token_invalid", "token_expired"),
        *("hmac_invalid", "quota_exceeded", "unsupported_test_type", "uuid_already_exists"),
    }
    assert protocol <= set(VERIFICATION_ERRORS)
    assert VERIFICATION_ERRORS["uuid_already_exists"].status == 409
    assert all(400 <= code.status <= 500 and code.sentence for code in VERIFICATION_ERRORS.values())
    assert refuse("token_expired").code == "token_expired"


@pytest.mark.parametrize("model", [IssueRequest, BatchIssueRequest, VerifyRequest, CertificateRequest, ExpireRequest])
def test_a_missing_field_is_a_malformed_request(model: type[WireModel]) -> None:
    with pytest.raises(BadMessage, match="required"):
        model.parse(b"{}")
