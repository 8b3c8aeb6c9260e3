"""The health authority's codes: code → token → certificate, and the HMAC that binds a certificate to keys."""

import hmac
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol

from pydantic import Field

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.wire import Base64Of32, Items, OptionalDate, Padding, WireModel

SHORT_CODE_DIGITS: Final = 8
SHORT_CODE_S: Final = 15 * 60
LONG_CODE_CHARACTERS: Final = 16
LONG_CODE_S: Final = 24 * 3600
TOKEN_S: Final = 24 * 3600
CERTIFICATE_S: Final = 15 * 60
MAX_CODES_PER_BATCH: Final = 10
NONCE_BYTES: Final = 32
MIN_HMAC_KEY_BYTES: Final = 16
CERTIFICATE_ALGORITHM: Final = "ES256"

_MAX_SECRET_CHARACTERS: Final = 2048


class TestType(StrEnum):
    """What the authority found: the words of codes and certificates."""

    __test__: ClassVar[bool] = False  # else pytest takes the name for a test

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    NEGATIVE = "negative"
    USER_REPORT = "user-report"


class ErrorCode(NamedTuple):
    """How an error code is answered: HTTP status, and what to tell the person."""

    status: int
    sentence: str


VERIFICATION_ERRORS: Final[dict[str, ErrorCode]] = {
    "code_invalid": ErrorCode(400, "this code is unknown or used: check its digits, or ask the authority for another"),
    "code_expired": ErrorCode(400, "this code has expired: ask the authority for another"),
    "code_not_found": ErrorCode(404, "no code has this uuid: check it"),
    "invalid_test_type": ErrorCode(400, "the test type is none of confirmed, likely, negative, user-report"),
    "unsupported_test_type": ErrorCode(412, "the code stands for a test type that this device does not accept"),
    "token_invalid": ErrorCode(400, "the token is unknown or used with other keys: enter the code again"),
    "token_expired": ErrorCode(400, "the token has expired: ask the authority for another code"),
    "hmac_invalid": ErrorCode(400, "ekeyhmac must be the base64 of 32 bytes"),
    "quota_exceeded": ErrorCode(429, "the quota is used up: try again later"),
    "uuid_already_exists": ErrorCode(409, "a code with this uuid was issued before: ask for its status"),
    # Of sealed uploads. None says anything about the keys: whoever passes a file on must not learn it from its refusal.
    "upload_invalid": ErrorCode(400, "this is no sealed upload for this server, or not whole: have it made anew"),
    "upload_expired": ErrorCode(400, "the sealed upload is over 24 hours old: have it made anew"),
    "upload_refused": ErrorCode(400, "what the sealed upload holds cannot be published: have it made anew"),
    # These three are not of the verification protocol: every API needs them.
    "bad_request": ErrorCode(400, "the request is malformed"),
    "unauthorized": ErrorCode(401, "the X-API-Key header is missing, unknown or of another role"),
    "internal_error": ErrorCode(500, "the server failed: try again later"),
}


Uuid = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Secret = Annotated[str, Field(repr=False, min_length=1, max_length=_MAX_SECRET_CHARACTERS)]
UnixSeconds = Annotated[int, Field(ge=0, le=2**53)]


class IssueRequest(WireModel):
    """`/api/issue`: the authority asks for a code; the same uuid again means the same code."""

    codes: ClassVar[dict[str, str]] = {"testType": "invalid_test_type"}

    test_type: TestType
    symptom_date: OptionalDate = None
    test_date: OptionalDate = None
    uuid: Uuid | None = None
    padding: Padding = ""


class IssueAnswer(WireModel):
    """A code for the person: short to say on the telephone, long to click.

    While somebody guesses short codes, `code` and its expiry are those of the long one.
    """

    uuid: Uuid
    code: Secret
    expires_at: str
    expires_at_timestamp: UnixSeconds
    long_code: str | None = Field(default=None, repr=False)
    long_expires_at: str | None = None
    long_expires_at_timestamp: UnixSeconds | None = None
    padding: Padding = ""


class ErrorAnswer(WireModel):
    """Any refusal of the verification API."""

    error: str
    error_code: str
    padding: Padding = ""


class BatchIssueRequest(WireModel):
    """`/api/batch-issue`: up to ten codes at once."""

    codes: ClassVar[dict[str, str]] = IssueRequest.codes

    # The field is `codes` on the wire; that name already means error codes on every message.
    requests: Items[IssueRequest] = Field(alias="codes", min_length=1, max_length=MAX_CODES_PER_BATCH)
    padding: Padding = ""


class BatchIssueAnswer(WireModel):
    """One answer per code asked for, in the same order."""

    answers: tuple[IssueAnswer | ErrorAnswer, ...] = Field(alias="codes")
    padding: Padding = ""


class VerifyRequest(WireModel):
    """`/api/verify`: a person's code for a token; the same nonce again means the same token."""

    codes: ClassVar[dict[str, str]] = {"code": "code_invalid", "accept": "invalid_test_type"}

    code: Annotated[str, Field(repr=False, min_length=1, max_length=64)]
    accept: Items[TestType] = Field(default=(TestType.CONFIRMED,), min_length=1, max_length=len(TestType))
    nonce: Base64Of32 | None = Field(default=None, repr=False)
    padding: Padding = ""


class VerifyAnswer(WireModel):
    """The token, and what the authority knows of the case."""

    testtype: TestType
    token: Secret
    symptom_date: OptionalDate = None
    test_date: OptionalDate = None
    padding: Padding = ""


class CertificateRequest(WireModel):
    """`/api/certificate`: a token and the keys' HMAC for a certificate."""

    codes: ClassVar[dict[str, str]] = {"token": "token_invalid", "ekeyhmac": "hmac_invalid"}

    token: Secret
    ekeyhmac: Base64Of32 = Field(repr=False)
    padding: Padding = ""


class CertificateAnswer(WireModel):
    """A JWT that lets one set of keys be published once."""

    certificate: Annotated[str, Field(repr=False, max_length=8192)]
    padding: Padding = ""


class StatusRequest(WireModel):
    """`/api/checkcodestatus`: was the code used?"""

    uuid: Uuid
    padding: Padding = ""


class StatusAnswer(WireModel):
    """Whether a code was claimed and until when it could be."""

    claimed: bool
    expires_at_timestamp: UnixSeconds
    long_expires_at_timestamp: UnixSeconds = 0
    padding: Padding = ""


class ExpireRequest(WireModel):
    """`/api/expirecode`: the code shall not be used any more."""

    uuid: Uuid
    padding: Padding = ""


class ExpireAnswer(WireModel):
    """The code as it stands now: expired."""

    uuid: Uuid
    expires_at_timestamp: UnixSeconds
    long_expires_at_timestamp: UnixSeconds = 0
    padding: Padding = ""


class CertificateClaims(WireModel):
    """What a certificate says: the claims of the JWT."""

    iss: str
    aud: str | tuple[str, ...]
    iat: UnixSeconds
    exp: UnixSeconds
    jti: Annotated[str, Field(repr=False, min_length=1, max_length=128)]
    report_type: TestType
    tekmac: Base64Of32 = Field(repr=False)
    symptom_onset_interval: Annotated[int, Field(ge=0, lt=2**32)] | None = None


class HashedKey(Protocol):
    """A key as the HMAC sees it; `PublishedKey` is one."""

    @property
    def key(self) -> str: ...  # noqa: D102 - base64 text
    @property
    def rolling_start_number(self) -> int: ...  # noqa: D102
    @property
    def rolling_period(self) -> int: ...  # noqa: D102
    @property
    def transmission_risk(self) -> int: ...  # noqa: D102


def tekmac(keys: Iterable[HashedKey], hmac_key: bytes) -> bytes:
    """Return the HMAC of a set of keys: it binds a certificate to them and shows the authority none of them.

    Raises:
        BadMessage: a key of less than 128 bits.
    """
    by_text = sorted(keys, key=lambda key: key.key)
    return _hmac([f"{_clear(key)}.{key.transmission_risk}" for key in by_text], hmac_key)


def tekmac_without_risk(keys: Iterable[HashedKey], hmac_key: bytes) -> bytes:
    """Return the HMAC in the form of clients that know no transmission risk.

    Raises:
        BadMessage: a risk other than 0, which this form would leave unbound; or a key of less than 128 bits.
    """
    by_text = sorted(keys, key=lambda key: key.key)
    if any(key.transmission_risk for key in by_text):
        raise BadMessage("the HMAC without risk counts only for keys whose risk is 0")
    return _hmac([_clear(key) for key in by_text], hmac_key)


def matches_tekmac(keys: Iterable[HashedKey], hmac_key: bytes, claimed: bytes) -> bool:
    """Tell whether a certificate's HMAC is that of these keys, in either form."""
    all_keys = list(keys)
    forms = [tekmac(all_keys, hmac_key)]
    if not any(key.transmission_risk for key in all_keys):
        forms.append(tekmac_without_risk(all_keys, hmac_key))
    return any([hmac.compare_digest(form, claimed) for form in forms])  # noqa: C419 - compare both: equal time


def refuse(code: str) -> Refused:
    """Return the error for one of the verification API's codes, with its sentence."""
    return Refused(VERIFICATION_ERRORS[code].sentence, code)


def _clear(key: HashedKey) -> str:
    return f"{key.key}.{key.rolling_start_number}.{key.rolling_period}"


def _hmac(texts: list[str], hmac_key: bytes) -> bytes:
    if len(hmac_key) < MIN_HMAC_KEY_BYTES:
        raise BadMessage(f"an HMAC key has {len(hmac_key)} bytes: at least {MIN_HMAC_KEY_BYTES} are needed")
    return hmac.digest(hmac_key, ",".join(texts).encode(), "sha256")
