"""What the authority signs for devices: the rule that decides, its thresholds, calibration, and the export keys."""

from collections.abc import Mapping
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pydantic import AfterValidator, Field

from forewarn_protocol.errors import BadFeed, BadInput
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.feeds import Feed, FeedPart, Region
from forewarn_protocol.intervals import TOLERANCE_INTERVALS
from forewarn_protocol.metadata import Confidence
from forewarn_protocol.risk import RiskConfiguration
from forewarn_protocol.sealed_uploads import upload_key_from_base64
from forewarn_protocol.wire import Items, parse_json

MAX_CONFIGURATION_BYTES: Final = 256 * 1024
MAX_REVOKED_KEYS: Final = 64


def _readable_key(text: str) -> str:
    try:
        public_key_from_base64(text)
    except BadInput as error:
        raise ValueError(error.message) from None
    return text


PublicKeyText = Annotated[str, Field(max_length=1024), AfterValidator(_readable_key)]


def _readable_upload_key(text: str) -> str:
    try:
        upload_key_from_base64(text)
    except BadInput as error:
        raise ValueError(error.message) from None
    return text


class ExportKey(FeedPart):
    """A key that signs exports, by the name and version that stand in their headers."""

    key_id: Annotated[str, Field(min_length=1, max_length=100)]
    key_version: Annotated[str, Field(max_length=100)]
    public_key: PublicKeyText

    def load(self) -> EllipticCurvePublicKey:
        """Return the key itself."""
        return public_key_from_base64(self.public_key)


PowerDbm = Annotated[int, Field(ge=-50, le=20)]


class MedianTransmitPower(FeedPart):
    """Calibrated transmit power in dBm at the median of each confidence class; a class that is absent has no cap."""

    none: PowerDbm | None = None
    low: PowerDbm | None = None
    medium: PowerDbm | None = None
    high: PowerDbm | None = None

    def by_confidence(self) -> Mapping[Confidence, int]:
        """Return the medians that are known, as `matching.match` takes them."""
        known = {confidence: getattr(self, confidence.name.lower()) for confidence in Confidence}
        return {confidence: median for confidence, median in known.items() if median is not None}


class DeviceConfiguration(Feed):
    """The configuration of a region; fields that a device does not know are ignored."""

    region: Region
    health_authority_id: Annotated[str, Field(min_length=1, max_length=128)]
    export_keys: Items[ExportKey] = Field(min_length=1, max_length=16)
    # The keys that sign feeds now and next: whoever trusts the key that signed this trusts them too.
    feed_keys: Items[PublicKeyText] = Field(default=(), max_length=8)
    # SHA-256 of the keys that no longer count, whoever pinned them: in hexadecimal, over the DER of the public key.
    revoked_feed_keys: Items[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default=(), max_length=MAX_REVOKED_KEYS
    )
    tolerance_intervals: Annotated[int, Field(ge=0, le=TOLERANCE_INTERVALS)] = TOLERANCE_INTERVALS
    minimum_distinct_rpis: Annotated[int, Field(ge=1, le=20)] = 1
    median_tx_dbm: MedianTransmitPower = MedianTransmitPower()
    risk: RiskConfiguration = Field(default_factory=RiskConfiguration)
    # The key of the anonymous zone that a report is sealed to where others carry it; absent: it takes none.
    upload_key: Annotated[str, Field(max_length=1024), AfterValidator(_readable_upload_key)] | None = None

    def sealing_key(self) -> X25519PublicKey | None:
        """Return the key that uploads are sealed to; None where the authority takes none."""
        return None if self.upload_key is None else upload_key_from_base64(self.upload_key)

    def public_keys(self) -> tuple[EllipticCurvePublicKey, ...]:
        """Return the keys that an export may be signed with."""
        return tuple(key.load() for key in self.export_keys)


def parse_configuration(body: bytes) -> DeviceConfiguration:
    """Read a configuration feed whose signature was verified.

    Raises:
        BadFeed: too large, no JSON, or no configuration.
    """
    return parse_json(DeviceConfiguration, body, error=BadFeed, limit_bytes=MAX_CONFIGURATION_BYTES)
