"""Revision tokens, and what may become of a key that was published before.

A token is the only link between the keys of one person: the database keeps, with each key, an HMAC of the key under its
token. Whoever holds the token can point out the keys; whoever holds the database alone can link no two of them.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Any, Final

from forewarn_protocol.errors import Refused
from forewarn_protocol.keys import ReportType, TemporaryExposureKey
from forewarn_protocol.publishing import REPORT_TYPES, KeyRule, may_become
from forewarn_protocol.verification import TestType
from forewarn_server.keyrings.living import Ring
from forewarn_server.keyrings.material import SecretKey

# One label per use of the revision key. The seed is a pseudorandom function of what the certificate is bound to, so a
# repeated request gets the same token though none is stored; the proof shows that a token came from this server.
_SEED: Final = b"forewarn revision token v1"
_PROOF: Final = b"forewarn revision token proof v1"
_SEED_BYTES: Final = 32
_PROOF_BYTES: Final = 16
_TEST_TYPES: Final = {report_type: test_type for test_type, report_type in REPORT_TYPES.items()}

UNKNOWN_TO_A_WITHDRAWAL: Final = KeyRule(
    "unknown_to_a_withdrawal", "a negative result can only revise published keys", lambda _key, _now: False
)
"""What a key of a negative result breaks that was never published, or is forgotten."""


@dataclass(frozen=True, slots=True)
class RevisionToken:
    """What a device keeps of its publish, to revise it later."""

    text: str = field(repr=False)
    seed: bytes = field(repr=False)

    @classmethod
    def first(cls, ring: Ring[SecretKey], jti: str, tekmac: bytes, made_by: str = "") -> "RevisionToken":
        """Make the token of a first publish; the same certificate, keys and `made_by` always give the same one.

        `made_by` names the revision key of a publish that is repeated; by default the active one.
        """
        key = next((key for key in ring.accepted if key.name == made_by), ring.active)
        return cls._proved(ring, key.mac(_SEED, jti.encode(), tekmac))

    @classmethod
    def read(cls, ring: Ring[SecretKey], text: str) -> "RevisionToken":
        """Read the token of an earlier publish.

        Raises:
            Refused: invalid_revision_token, when this server never made it, or with a key that it no longer accepts.
        """
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        seed, proof = data[:_SEED_BYTES], data[_SEED_BYTES:]
        if not any([hmac.compare_digest(proof, _proof(key, seed)) for key in ring.accepted]):  # noqa: C419 - equal time
            raise Refused("the revision token is not of this server: send the one of the first publish", _INVALID)
        # Proved anew: who publishes more keys under an old token gets one that can be read as long as those keys live.
        return cls._proved(ring, seed)

    @classmethod
    def _proved(cls, ring: Ring[SecretKey], seed: bytes) -> "RevisionToken":
        return cls(base64.b64encode(seed + _proof(ring.active, seed)).decode("ascii"), seed)

    def tag(self, key: bytes) -> bytes:
        """Return what is stored with a key; it needs no label, for the seed has no other use."""
        return hmac.digest(self.seed, key, "sha256")


def _proof(key: SecretKey, seed: bytes) -> bytes:
    return key.mac(_PROOF, seed)[:_PROOF_BYTES]


_INVALID: Final = "invalid_revision_token"


def check_revision(stored: Any, tek: TemporaryExposureKey, token: RevisionToken, new: TestType) -> bool:
    """Tell whether a stored key changes to a new report type; False: it says so already.

    Raises:
        Refused: the token is another person's, the key was revised before, or the change is not in the table.
    """
    if not hmac.compare_digest(stored.revision_tag, token.tag(tek.key)):
        raise Refused("a key was published before under another revision token", _INVALID)
    if (stored.rolling_start, stored.rolling_period) != (tek.rolling_start, tek.rolling_period):
        raise Refused("a published key cannot change its start or period", "bad_request")
    now_is = stored.report_type if stored.revised_report_type is None else stored.revised_report_type
    if now_is == REPORT_TYPES[new]:
        return False
    if stored.revised_report_type is not None:
        raise Refused("a key can be revised only once", "key_already_revised")
    if not may_become(_TEST_TYPES[ReportType(stored.report_type)], new):
        raise Refused("this report type cannot follow the one that was published", "invalid_report_type_transition")
    return True
