"""The other messages of the API: what phones, staff and servers say to each other, and what a certificate claims."""

import json
from collections.abc import Mapping

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.publishing import PublishAnswer
from forewarn_protocol.verification import (
    BatchIssueAnswer,
    BatchIssueRequest,
    CertificateAnswer,
    CertificateClaims,
    CertificateRequest,
    ErrorAnswer,
    ExpireAnswer,
    ExpireRequest,
    IssueAnswer,
    IssueRequest,
    StatusAnswer,
    StatusRequest,
    VerifyAnswer,
    VerifyRequest,
)
from forewarn_protocol.wire import WireModel, base64_text
from tests.fuzz.target import Target

MESSAGES: tuple[type[WireModel], ...] = (
    *(BatchIssueAnswer, BatchIssueRequest, CertificateAnswer, CertificateClaims, CertificateRequest, ErrorAnswer),
    *(ExpireAnswer, ExpireRequest, IssueAnswer, IssueRequest, StatusAnswer, StatusRequest, VerifyAnswer),
    *(VerifyRequest, PublishAnswer),
)


def check(data: bytes) -> None:
    for message in MESSAGES:
        try:
            read = message.parse(data)
        except (BadMessage, Refused) as error:
            assert "\n" not in error.message
            continue
        assert message.parse(read.encode()) == read


def seeds() -> Mapping[str, bytes]:
    mac = base64_text(bytes(32))
    claims = {"iss": "vn", "aud": "forewarn/vn", "iat": 1_620_000_000, "exp": 1_620_000_900, "jti": "a"}
    said: dict[str, dict[str, object]] = {
        "verify": {"code": "12345678", "accept": ["confirmed", "likely"], "nonce": mac, "padding": "x"},
        "certificate": {"token": "t", "ekeyhmac": mac},
        "issue": {"testType": "likely", "symptomDate": "2021-05-31", "testDate": None, "uuid": ""},
        "batch": {"codes": [{"testType": "confirmed"}, {"testType": "likely", "symptomDate": ""}]},
        "claims": {**claims, "reportType": "confirmed", "symptomOnsetInterval": 2_700_000, "tekmac": mac},
        "error": {"error": "no", "errorCode": "code_invalid", "code": "bad_request"},
    }
    return {name: json.dumps(fields).encode() for name, fields in said.items()}


_WORDS = (
    *(b'"code"', b'"codes"', b'"accept"', b'"nonce"', b'"token"', b'"ekeyhmac"', b'"testType"', b'"symptomDate"'),
    *(b'"aud"', b'"tekmac"', b'"reportType"', b'"uuid"', b"null", b"true", b"-1", b"1e400", b"\\ud800", b"[[[[[[[["),
)
TARGET = Target(check, seeds, _WORDS, 4_096, is_json=True)
