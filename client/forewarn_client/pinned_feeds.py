"""The three signed feeds as this device accepts them: pinned keys, no way back to an older one, expiry said aloud."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from forewarn_client.connection import Connection
from forewarn_client.device import Device
from forewarn_protocol.advice import MAX_ADVICE_BYTES, parse_advice
from forewarn_protocol.configuration import MAX_CONFIGURATION_BYTES, parse_configuration
from forewarn_protocol.errors import Missing, NotVerified
from forewarn_protocol.exports.index import MAX_INDEX_BYTES, Index
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.feeds import MAX_SIGNATURE_BYTES, Feed, FeedAge, FeedHead, check_sequence, verify_feed

F = TypeVar("F", bound=Feed)


@dataclass(frozen=True, slots=True)
class FeedKind(Generic[F]):
    """One of the feeds: its URL path (with a gap for the region), its limit, its parser."""

    pattern: str
    limit_bytes: int
    parse: Callable[[bytes], F]

    def path(self, region: str) -> str:
        """Return the URL path of a region's feed."""
        return self.pattern.format(region=region)


CONFIGURATION: Final = FeedKind("/config/{region}.json", MAX_CONFIGURATION_BYTES, parse_configuration)
ADVICE: Final = FeedKind("/advice/{region}.json", MAX_ADVICE_BYTES, parse_advice)
INDEX: Final = FeedKind("/exports/{region}/index.json", MAX_INDEX_BYTES, Index.parse)


@dataclass(frozen=True, slots=True)
class Fetched(Generic[F]):
    """A feed that verified; `expired`: a server that is frozen, or a clock that is ahead."""

    feed: F
    expired: bool


async def refresh(device: Device, connection: Connection, kind: FeedKind[F]) -> Fetched[F]:
    """Fetch a feed, verify it, and remember it as the newest one.

    Raises:
        Missing: the server cannot be reached or lacks the feed; no feed key is pinned.
        NotVerified: no pinned key signed it, or it is older than one accepted before.
        BadFeed: it is too large or malformed.
    """
    path = kind.path(device.settings.region)
    body = await _verified(connection, kind, path, _pinned_keys(device))
    feed = kind.parse(body)
    age = await device.database.write(_accept, path, feed.head, body, device.clock.utc())
    return Fetched(feed, age is FeedAge.EXPIRED)


async def remembered(device: Device, kind: FeedKind[F]) -> F | None:
    """Return the newest feed that was accepted, from the diary; None before the first."""
    body = await device.database.read(_body, kind.path(device.settings.region))
    return None if body is None else kind.parse(body)


async def _verified(
    connection: Connection, kind: FeedKind[F], path: str, keys: tuple[EllipticCurvePublicKey, ...]
) -> bytes:
    # A static host may serve the new file beside the old signature for a moment, so one mismatch proves nothing.
    for last_try in (False, True):
        body = await connection.get(path, kind.limit_bytes)
        signature = await connection.get(f"{path}.sig", MAX_SIGNATURE_BYTES)
        try:
            verify_feed(keys, path, body, signature)
        except NotVerified:
            if last_try:
                raise
        else:
            break
    return body


def _pinned_keys(device: Device) -> tuple[EllipticCurvePublicKey, ...]:
    if not device.settings.public_key:
        raise Missing("no feed key is pinned: give --public-key, as the server's init printed it")
    return tuple(public_key_from_base64(text) for text in device.settings.public_key)


def _accept(connection: sqlite3.Connection, path: str, head: FeedHead, body: bytes, now_s: float) -> FeedAge:
    row = connection.execute("SELECT sequence FROM feeds WHERE path = ?", (path,)).fetchone()
    age = check_sequence(head, row[0] if row else 0, now_s)
    connection.execute(
        "INSERT OR REPLACE INTO feeds (path, sequence, body) VALUES (?, ?, ?)", (path, head.sequence, body)
    )
    return age


def _body(connection: sqlite3.Connection, path: str) -> bytes | None:
    row = connection.execute("SELECT body FROM feeds WHERE path = ?", (path,)).fetchone()
    return None if row is None else row[0]
