"""What the keys are for, and how each is changed: the table that commands, the hourly work and docs/keys.md follow."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from forewarn_protocol.intervals import INTERVAL_S
from forewarn_protocol.publishing import MAX_AGE_INTERVALS
from forewarn_protocol.sealed_uploads import UPLOAD_S
from forewarn_protocol.verification import CERTIFICATE_S, TOKEN_S
from forewarn_server.config import ServerSettings
from forewarn_server.hours import DAY_S, HOUR_S
from forewarn_server.keyrings.material import SEALING_PAIR, SECRET, SIGNING_PAIR, Kind

K = TypeVar("K")


class Use(StrEnum):
    """What a key is for: each use has a ring of its own, and no key has two uses."""

    CERTIFICATE = "certificate"
    EXPORT = "export"
    FEED = "feed"
    REVISION = "revision"
    CODE_HASH = "code-hash"
    UPLOAD = "upload"
    TOKEN = "token"  # noqa: S105 - the name of a use


@dataclass(frozen=True, slots=True)
class Policy(Generic[K]):
    """How the keys of one use are changed.

    `lead_s`: how long a new one is announced before it is used. `overlap_s`: how long the old one is accepted after
    that. `told`: devices learn of it in the signed configuration. `remembered`: it stays in the schedule when it is
    over, so that devices can be told to refuse it. `daily`: the server changes it each UTC day by itself.
    """

    use: Use
    kind: Kind[K]
    overlap_s: int
    lead_s: Callable[[ServerSettings], int] = lambda _: 0
    told: bool = False
    remembered: bool = False
    daily: bool = False


# A server may notice a new key at the full hour only, and its clock may be set by a little.
_MARGIN_S: Final = 2 * HOUR_S
_FEED_LIFE_S: Final = 24 * HOUR_S
_FILES_STAY_S: Final = 14 * DAY_S

# Whoever holds a certificate uses it within its quarter of an hour.
CERTIFICATE: Final = Policy(Use.CERTIFICATE, SIGNING_PAIR, overlap_s=CERTIFICATE_S + _MARGIN_S)
# No device may meet a file before it can know the key: a configuration without it lives a day at most. The old key is
# listed until its last file is forgotten, which happens once a day.
EXPORT: Final = Policy(
    Use.EXPORT,
    SIGNING_PAIR,
    overlap_s=_FILES_STAY_S + DAY_S + _MARGIN_S,
    lead_s=lambda _: _FEED_LIFE_S + _MARGIN_S,
    told=True,
)
# Devices that fetch at least once while the next key is announced follow by themselves. What the old key signed last
# may lie in caches for its day.
FEED: Final = Policy(
    Use.FEED,
    SIGNING_PAIR,
    overlap_s=_FEED_LIFE_S + _MARGIN_S,
    lead_s=lambda settings: settings.feed_key_overlap_days * DAY_S,
    told=True,
    remembered=True,
)
# A key that ends tonight can be revised until it is too old to be published.
REVISION: Final = Policy(Use.REVISION, SECRET, overlap_s=MAX_AGE_INTERVALS * INTERVAL_S + DAY_S + _MARGIN_S)
# A device seals to the key of a configuration that may be a day old, and the file is good for a day. After that the old
# key is destroyed, and a file that somebody kept opens no more.
UPLOAD: Final = Policy(Use.UPLOAD, SEALING_PAIR, overlap_s=_FEED_LIFE_S + UPLOAD_S + _MARGIN_S, told=True)
# Codes live a day. After three nobody can try all of them against a copy of the database, its owner included.
CODE_HASH: Final = Policy(Use.CODE_HASH, SECRET, overlap_s=3 * DAY_S, daily=True)
# A code can be claimed again, with the same nonce for the same token, as long as it lives; its token lives as long.
TOKEN: Final = Policy(Use.TOKEN, SECRET, overlap_s=TOKEN_S + _MARGIN_S)

POLICIES: Final[dict[Use, Policy[Any]]] = {
    policy.use: policy for policy in (CERTIFICATE, EXPORT, FEED, REVISION, UPLOAD, CODE_HASH, TOKEN)
}
