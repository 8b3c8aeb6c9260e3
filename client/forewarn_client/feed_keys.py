"""Which keys may sign feeds for this device: the pinned ones and those that they vouch for, and no revoked one.

The signed configuration names the keys that sign now and next. They are remembered with the pinned key that the trust
began with, their *root*: whoever pins another key instead lets go of all that the old one had said.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.errors import Missing, NotVerified
from forewarn_protocol.exports.signing import public_key_from_base64, public_key_hash, public_key_to_base64


@dataclass(frozen=True, slots=True)
class FeedKey:
    """A key that may sign feeds, and the pinned key that its trust began with, both as base64."""

    public_key: str
    root: str

    def load(self) -> EllipticCurvePublicKey:
        """Return the key itself."""
        return public_key_from_base64(self.public_key)


def accepted(connection: sqlite3.Connection, pinned: Sequence[str]) -> tuple[FeedKey, ...]:
    """Return the keys that may sign feeds now, inside a transaction.

    Raises:
        Missing: no feed key is pinned.
        NotVerified: every key was revoked.
    """
    if not pinned:
        raise Missing("no feed key is pinned: give --public-key, as the server's init printed it")
    roots = [_canonical(key) for key in pinned]
    rows = _rows(connection, roots)
    revoked = {key_hash for key_hash, public_key, _ in rows if public_key is None}
    known = {public_key: FeedKey(public_key, root) for _, public_key, root in rows if public_key is not None}
    known |= {root: FeedKey(root, root) for root in roots}
    keys = tuple(key for key in known.values() if public_key_hash(key.public_key) not in revoked)
    if not keys:
        raise NotVerified(
            "the authority has revoked every feed key that is pinned here: pin its new one with --public-key"
        )
    return keys


def learn(
    connection: sqlite3.Connection, signer: FeedKey, configuration: DeviceConfiguration, pinned: Sequence[str]
) -> None:
    """Take over what a configuration says of feed keys, in the transaction that accepts it; `signer` signed it."""
    roots = [_canonical(key) for key in pinned]
    of_pinned = {public_key_hash(key) for key in roots}
    # A key does not revoke itself: that would lock out every device at once.
    own = public_key_hash(signer.public_key)
    revoked = {key_hash for key_hash in configuration.revoked_feed_keys if key_hash != own}
    # A revocation of what is pinned here stays, though the authority should forget to repeat it.
    revoked |= {
        key_hash for key_hash, key, _ in _rows(connection, roots) if key is None and key_hash in of_pinned - {own}
    }
    vouched = {public_key_hash(key): _canonical(key) for key in (signer.public_key, *configuration.feed_keys)}
    rows: list[tuple[str, str | None, str]] = [(key_hash, None, signer.root) for key_hash in sorted(revoked)]
    rows += [(key_hash, key, signer.root) for key_hash, key in vouched.items() if key_hash not in revoked]
    connection.execute("DELETE FROM feed_keys")
    connection.executemany("INSERT INTO feed_keys (key_hash, public_key, root) VALUES (?, ?, ?)", rows)


def is_pinned(key: str, pinned: Sequence[str]) -> bool:
    """Tell whether a key is among the pinned ones, however those are written."""
    return key in {_canonical(each) for each in pinned}


def _rows(connection: sqlite3.Connection, roots: Sequence[str]) -> list[tuple[str, str | None, str]]:
    rows = connection.execute("SELECT key_hash, public_key, root FROM feed_keys").fetchall()
    return [row for row in rows if row[2] in roots]


def _canonical(text: str) -> str:
    return public_key_to_base64(public_key_from_base64(text))
