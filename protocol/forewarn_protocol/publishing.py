"""Publishing a case's keys: request, answer, the table of validation rules, revision."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AliasChoices, Field

from forewarn_protocol.errors import Refused
from forewarn_protocol.intervals import INTERVALS_PER_DAY, MAX_INTERVAL, Interval, day_of, interval_at
from forewarn_protocol.keys import (
    KEY_BYTES,
    MAX_ONSET_DAYS,
    MAX_TRANSMISSION_RISK,
    ReportType,
    TemporaryExposureKey,
)
from forewarn_protocol.verification import TestType
from forewarn_protocol.windows import Infectiousness, KeyMapping
from forewarn_protocol.wire import Base64HmacKey, Items, Padding, WireModel, base64_text, bytes_of

MAX_KEYS: Final = 30
MAX_KEYS_WITH_ONE_START: Final = 3
MAX_AGE_INTERVALS: Final = 15 * INTERVALS_PER_DAY
DEFAULT_ONSET_DAYS_BEFORE_UPLOAD: Final = 4
REMEMBERED_S: Final = 24 * 3600
ALREADY_PUBLISHED: Final = "already published"

PUBLISH_ERRORS: Final[dict[str, int]] = {
    "unknown_health_authority_id": 400,
    "unable_to_load_health_authority": 500,
    "health_authority_missing_region_config": 500,
    "health_authority_verification_certificate_invalid": 401,
    "bad_request": 400,
    "internal_error": 500,
    "missing_revision_token": 400,
    "invalid_revision_token": 400,
    "key_already_revised": 400,
    "invalid_report_type_transition": 400,
    "partial_failure": 200,
}
"""The error codes of the publish API and the HTTP status each is answered with."""

REPORT_TYPES: Final[dict[TestType, ReportType]] = {
    TestType.CONFIRMED: ReportType.CONFIRMED_TEST,
    TestType.LIKELY: ReportType.CONFIRMED_CLINICAL_DIAGNOSIS,
    TestType.USER_REPORT: ReportType.SELF_REPORT,
    TestType.NEGATIVE: ReportType.REVOKED,
}
"""How a certificate's word for the finding stands in an export."""

REVISIONS: Final[dict[TestType, frozenset[TestType]]] = {
    TestType.LIKELY: frozenset({TestType.CONFIRMED, TestType.NEGATIVE}),
    TestType.USER_REPORT: frozenset({TestType.CONFIRMED, TestType.LIKELY, TestType.NEGATIVE}),
    TestType.CONFIRMED: frozenset(),
    TestType.NEGATIVE: frozenset(),
}
"""What a published key's report type may become, once per key."""

# Any int64: what lies outside the protocol's ranges is the key's own fault and gets the key's own verdict.
WireInt = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class PublishedKey(WireModel):
    """A key as it stands in the request: unchecked, so that one bad key costs only itself."""

    key: Annotated[str, Field(repr=False, max_length=256)]
    rolling_start_number: WireInt
    rolling_period: WireInt
    transmission_risk: WireInt = 0

    @classmethod
    def of(cls, tek: TemporaryExposureKey, transmission_risk: int = 0) -> Self:
        """Write down a device's own key."""
        return cls(
            key=base64_text(tek.key),
            rolling_start_number=tek.rolling_start,
            rolling_period=tek.rolling_period,
            transmission_risk=transmission_risk,
        )

    @property
    def key_bytes(self) -> bytes:
        """The key's bytes; none when the text is not base64."""
        try:
            return bytes_of(self.key)
        except ValueError:
            return b""


class PublishRequest(WireModel):
    """`POST /v1/publish`."""

    keys: Items[PublishedKey] = Field(alias="temporaryExposureKeys")
    health_authority_id: Annotated[str, Field(min_length=1, max_length=128)] = Field(alias="healthAuthorityID")
    verification_payload: Annotated[str, Field(min_length=1, max_length=8192)] = Field(repr=False)
    hmac_key: Base64HmacKey = Field(
        repr=False, validation_alias=AliasChoices("hmacKey", "hmackey"), serialization_alias="hmacKey"
    )
    symptom_onset_interval: Annotated[int, Field(ge=0, le=MAX_INTERVAL)] | None = None
    traveler: bool = False
    revision_token: Annotated[str, Field(max_length=8192)] = Field(default="", repr=False)
    padding: Padding = ""

    def fingerprint(self) -> bytes:
        """Return what tells a repeated request from another: a hash of all but padding and certificate.

        A device that lost an answer may have had to fetch a fresh certificate for the same upload; jti and HMAC, which
        bind it, are compared beside this.
        """
        return hashlib.sha256(
            self.model_copy(update={"padding": "", "verification_payload": ""}).encode(),
        ).digest()


class PublishAnswer(WireModel):
    """The answer to `POST /v1/publish`."""

    revision_token: str = Field(default="", repr=False)
    inserted_exposures: Annotated[int, Field(ge=0, le=MAX_KEYS)] = 0
    error: str | None = None
    code: str | None = None
    warnings: tuple[str, ...] | None = None
    padding: Padding = ""


class KeyRule(NamedTuple):
    """One rule for one key: `holds(key, now)` with the interval of the upload."""

    name: str
    reason: str
    holds: Callable[[PublishedKey, int], bool]


class RequestRule(NamedTuple):
    """One rule for keys taken together; where it fails the whole request is refused."""

    name: str
    reason: str
    holds: Callable[[Sequence[PublishedKey]], bool]


KEY_RULES: Final[tuple[KeyRule, ...]] = (
    KeyRule("key_length", "a key is the base64 of 16 bytes", lambda key, _: len(key.key_bytes) == KEY_BYTES),
    KeyRule(
        "rolling_period",
        "a rolling period lies in 1..144",
        lambda key, _: 1 <= key.rolling_period <= INTERVALS_PER_DAY,
    ),
    KeyRule(
        "start_in_future",
        "a key may not start in the future",
        lambda key, now: key.rolling_start_number <= now,
    ),
    KeyRule(
        "too_old",
        "a key may not have ended more than 15 days ago",
        lambda key, now: (
            key.rolling_start_number + key.rolling_period >= max(now - MAX_AGE_INTERVALS, 1)
            and key.rolling_start_number >= 0
        ),
    ),
    KeyRule(
        "transmission_risk",
        "a transmission risk lies in 0..8",
        lambda key, _: 0 <= key.transmission_risk <= MAX_TRANSMISSION_RISK,
    ),
)
"""What each key must obey; a key that does not is dropped with the reason."""

SIZE_RULES: Final[tuple[RequestRule, ...]] = (
    RequestRule("no_keys", "a request publishes at least one key", lambda keys: len(keys) > 0),
    RequestRule("too_many_keys", f"a request publishes at most {MAX_KEYS} keys", lambda keys: len(keys) <= MAX_KEYS),
)
"""Looked at before any key is."""


def _starts_are_few(keys: Sequence[PublishedKey]) -> bool:
    return max(Counter(key.rolling_start_number for key in keys).values(), default=0) <= MAX_KEYS_WITH_ONE_START


def _spans_are_apart(keys: Sequence[PublishedKey]) -> bool:
    end_of: dict[int, int] = {}
    for key in keys:
        start = key.rolling_start_number
        end_of[start] = max(end_of.get(start, start), start + key.rolling_period)
    starts = sorted(end_of)
    return all(end_of[start] <= following for start, following in pairwise(starts))


def _keys_are_distinct(keys: Sequence[PublishedKey]) -> bool:
    return len({key.key_bytes for key in keys}) == len(keys)


SET_RULES: Final[tuple[RequestRule, ...]] = (
    RequestRule("same_start", f"at most {MAX_KEYS_WITH_ONE_START} keys may share one start", _starts_are_few),
    RequestRule("overlap", "keys with different starts may not overlap", _spans_are_apart),
    RequestRule("repeated_key", "a key may stand in a request only once", _keys_are_distinct),
)
"""What the keys that passed their own rules must obey together."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one key of a request: the key to store, or the rule it broke."""

    position: int
    tek: TemporaryExposureKey | None = field(default=None, repr=False)
    transmission_risk: int = 0
    broken: KeyRule | None = None

    @property
    def sentence(self) -> str:
        """The reason in words, for the answer; it names the key by its place only."""
        return f"key {self.position}: {self.broken.reason if self.broken else 'accepted'}"


def validate(request: PublishRequest, now_s: float) -> list[Verdict]:
    """Judge each key of a request received at `now_s` (Unix seconds), in the order of the request.

    Raises:
        Refused: bad_request, when the keys taken together break a rule or no single key is acceptable.
    """
    _demand(SIZE_RULES, request.keys)
    now = interval_at(now_s)
    verdicts = [_judge(position, key, now) for position, key in enumerate(request.keys)]
    good = [request.keys[verdict.position] for verdict in verdicts if verdict.broken is None]
    if not good:
        raise Refused(f"no key can be published; {verdicts[0].sentence}", "bad_request")
    _demand(SET_RULES, good)
    return verdicts


def _judge(position: int, key: PublishedKey, now: Interval) -> Verdict:
    broken = next((rule for rule in KEY_RULES if not rule.holds(key, now)), None)
    if broken:
        return Verdict(position, broken=broken)
    tek = TemporaryExposureKey(key.key_bytes, Interval(key.rolling_start_number), key.rolling_period)
    return Verdict(position, tek, key.transmission_risk)


def _demand(rules: tuple[RequestRule, ...], keys: Sequence[PublishedKey]) -> None:
    for rule in rules:
        if not rule.holds(keys):
            raise Refused(rule.reason, "bad_request")


REPRESENTATIVE_DAYS: Final[dict[Infectiousness, int]] = {
    Infectiousness.NONE: -MAX_ONSET_DAYS,
    Infectiousness.STANDARD: 7,
    Infectiousness.HIGH: 0,
}
"""The one number of days that an export gives for a class: real days would be a pattern that links a person's keys."""
_ONSET_TABLE: Final = KeyMapping().infectiousness_by_onset_day


def published_onset_days(days: int) -> int:
    """Return what an export says for a number of days since onset: the representative of its class."""
    return REPRESENTATIVE_DAYS[_ONSET_TABLE.get(days, Infectiousness.NONE)]


def onset_counts(tek: TemporaryExposureKey, onset: Interval | None, now_s: float) -> bool:
    """Tell whether an onset counts for a key: it is given, not in the future and at most 14 days from the key."""
    # 0 is how several clients write 'no onset'.
    if not onset or onset > interval_at(now_s):
        return False
    return abs((day_of(tek.rolling_start) - day_of(onset)).days) <= MAX_ONSET_DAYS


def days_since_onset(tek: TemporaryExposureKey, onset: Interval | None, now_s: float) -> int:
    """Return a key's days since onset, between -14 and +14; four days before the upload for one that does not count."""
    day = day_of(tek.rolling_start)
    if onset is not None and onset_counts(tek, onset, now_s):
        return (day - day_of(onset)).days
    return (day - day_of(interval_at(now_s))).days + DEFAULT_ONSET_DAYS_BEFORE_UPLOAD


def may_become(old: TestType, new: TestType) -> bool:
    """Tell whether a published key's report type may be revised in this way."""
    return new in REVISIONS[old]


def parse_publish(body: bytes) -> PublishRequest:
    """Read a publish request.

    Raises:
        BadMessage: larger than 64 kB, no JSON, or not a publish request.
    """
    return PublishRequest.parse(body)
