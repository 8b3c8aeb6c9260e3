"""The three signed feeds as this device accepts them: trusted keys, no way back to an older one, expiry said aloud."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from forewarn_client import feed_keys
from forewarn_client.connection import Connection
from forewarn_client.device import Device
from forewarn_client.diary import feeds
from forewarn_client.feed_keys import FeedKey
from forewarn_protocol.advice import MAX_ADVICE_BYTES, parse_advice
from forewarn_protocol.configuration import MAX_CONFIGURATION_BYTES, DeviceConfiguration, parse_configuration
from forewarn_protocol.errors import NotVerified
from forewarn_protocol.exports.index import MAX_INDEX_BYTES, Index
from forewarn_protocol.feeds import MAX_SIGNATURE_BYTES, Feed, FeedAge, check_sequence, verify_feed

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


@dataclass(frozen=True, slots=True)
class _Signed(Generic[F]):
    path: str
    feed: F
    body: bytes
    signer: FeedKey


async def refresh(device: Device, connection: Connection, kind: FeedKind[F]) -> Fetched[F]:
    """Fetch a feed, verify it, and remember it as the newest one.

    Raises:
        Missing: the server cannot be reached or lacks the feed; no feed key is pinned.
        NotVerified: no key that is trusted here signed it, or it is older than one accepted before.
        BadFeed: it is too large or malformed.
    """
    signed = await _fetch(device, connection, kind)
    age = await device.database.write(_accept, device, signed)
    return Fetched(signed.feed, age is FeedAge.EXPIRED)


async def peek(device: Device, connection: Connection, kind: FeedKind[F]) -> Fetched[F]:
    """Fetch a feed and verify it as `refresh` does, with the same errors, and remember nothing."""
    signed = await _fetch(device, connection, kind)
    age = await device.database.read(_age, device, signed)
    return Fetched(signed.feed, age is FeedAge.EXPIRED)


async def remembered(device: Device, kind: FeedKind[F]) -> F | None:
    """Return the newest feed that was accepted, from the diary; None before the first."""
    body = await device.database.read(feeds.body, kind.path(device.settings.region))
    return None if body is None else kind.parse(body)


async def _fetch(device: Device, connection: Connection, kind: FeedKind[F]) -> _Signed[F]:
    path = kind.path(device.settings.region)
    keys = await device.database.read(feed_keys.accepted, device.settings.public_key)
    body, signer = await _verified(connection, kind, path, keys)
    return _Signed(path, kind.parse(body), body, signer)


async def _verified(
    connection: Connection, kind: FeedKind[F], path: str, keys: Sequence[FeedKey]
) -> tuple[bytes, FeedKey]:
    # A static host may serve the new file beside the old signature for a moment, so one mismatch proves nothing.
    for last_try in (False, True):
        body = await connection.get(path, kind.limit_bytes)
        signature = await connection.get(f"{path}.sig", MAX_SIGNATURE_BYTES)
        try:
            place = verify_feed([key.load() for key in keys], path, body, signature)
        except NotVerified:
            if last_try:
                raise
        else:
            break
    return body, keys[place]


def _accept(connection: sqlite3.Connection, device: Device, signed: _Signed[F]) -> FeedAge:
    age = _age(connection, device, signed)
    feed = signed.feed
    feeds.keep(
        connection,
        signed.path,
        sequence=feed.sequence,
        issued=feed.issued,
        root=signed.signer.root,
        body=signed.body,
    )
    if isinstance(feed, DeviceConfiguration):
        feed_keys.learn(connection, signed.signer, feed, device.settings.public_key)
    return age


def _age(connection: sqlite3.Connection, device: Device, signed: _Signed[F]) -> FeedAge:
    pinned = device.settings.public_key
    row = connection.execute("SELECT sequence, root FROM feeds WHERE path = ?", (signed.path,)).fetchone()
    # Whoever pins another key begins anew: a thief of the old one may have left a sequence that nobody can reach.
    last_sequence = row[0] if row and feed_keys.is_pinned(row[1], pinned) else 0
    return check_sequence(signed.feed.head, last_sequence, device.clock.utc())
