"""Signed feeds: index, configuration and advice, each with a sequence and an expiry against rollback and freeze."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

from forewarn_protocol.errors import BadFeed, NotVerified
from forewarn_protocol.wire import WireModel

MAX_SIGNATURE_BYTES: Final = 256
MAX_INDEX_LIFE_S: Final = 24 * 3600
# The prefix keeps a feed's signature from being taken for one over anything else that this key might ever sign; the
# path keeps one feed from being served as another.
_CONTEXT: Final = b"forewarn:"
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("a region is 1 to 16 small letters, digits or hyphens and begins with no hyphen, such as vn")
    return text


Region = Annotated[str, AfterValidator(_region)]
"""The name of a region: it stands in the paths of feeds and exports, in certificates and in every setting."""


class FeedAge(Enum):
    """Whether a feed that verifies is still the authority's word."""

    CURRENT = "current"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class FeedHead:
    """What every feed carries: a sequence that only rises (per path), issued and expires in Unix seconds.

    Raises:
        BadFeed: a feed that expires before it was issued.
    """

    sequence: int
    issued: int
    expires: int

    def __post_init__(self) -> None:
        if self.expires <= self.issued:
            raise BadFeed("a feed expires before it was issued")


class FeedPart(WireModel):
    """A part of a feed; its fields are named on the wire as they are here."""

    model_config = ConfigDict(alias_generator=None)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take null for what it is: one authority writes feeds, not clients in many languages."""
        return handler(source)


class Feed(FeedPart):
    """A feed's file: index, configuration and advice add what they say."""

    sequence: Annotated[int, Field(ge=1, le=2**53)]
    issued: Annotated[int, Field(ge=0, le=2**53)]
    expires: Annotated[int, Field(ge=0, le=2**53)]

    @model_validator(mode="after")
    def _expires_after_its_issue(self) -> Self:
        if self.expires <= self.issued:
            raise ValueError("a feed expires before it was issued")
        return self

    @property
    def head(self) -> FeedHead:
        """Sequence, issue and expiry."""
        return FeedHead(self.sequence, self.issued, self.expires)


def signed_bytes(url_path: str, body: bytes) -> bytes:
    """Return what a feed's signature covers.

    Raises:
        BadFeed: a path that could be read in two ways.
    """
    path = url_path.removeprefix("/")
    if not path or not path.isascii() or "\0" in path:
        raise BadFeed("a feed's path must be plain ASCII")
    return _CONTEXT + path.encode("ascii") + b"\0" + body


def sign_feed(private_key: EllipticCurvePrivateKey, url_path: str, body: bytes) -> bytes:
    """Return the contents of `X.sig` for the feed X at a URL path."""
    return private_key.sign(signed_bytes(url_path, body), ECDSA(SHA256()))


def verify_feed(public_keys: Sequence[EllipticCurvePublicKey], url_path: str, body: bytes, signature: bytes) -> int:
    """Accept a feed that any of the trusted keys signed for this path, and return the place of the one that did.

    Raises:
        NotVerified: none did.
    """
    if len(signature) <= MAX_SIGNATURE_BYTES:
        message = signed_bytes(url_path, body)
        for place, key in enumerate(public_keys):
            try:
                key.verify(signature, message, ECDSA(SHA256()))
            except InvalidSignature:
                continue
            return place
    raise NotVerified(
        f"{url_path} is not signed by a pinned feed key nor by one that it announced: check the server, and, after "
        "weeks offline, pin the authority's new key"
    )


def check_sequence(head: FeedHead, last_sequence: int, now_s: float) -> FeedAge:
    """Compare a verified feed with the newest one seen on the same path.

    Raises:
        NotVerified: its sequence is lower, so somebody serves an older one.
    """
    if head.sequence < last_sequence:
        raise NotVerified(f"a feed went back from sequence {last_sequence} to {head.sequence}: it is not used")
    return FeedAge.EXPIRED if now_s >= head.expires else FeedAge.CURRENT
