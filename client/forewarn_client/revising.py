"""What a new code may change of the keys that this device has sent before, and into what."""

import sqlite3
from collections.abc import Collection
from datetime import date, timedelta
from typing import Final

from forewarn_client.keyring import Keyring, OwnKey
from forewarn_client.offering import MAX_OFFERED_DAYS
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.publishing import REVISIONS, may_become
from forewarn_protocol.verification import TestType

POSITIVE: Final = (TestType.CONFIRMED, TestType.LIKELY, TestType.USER_REPORT)
"""What a code may stand for that publishes keys for the first time."""


def changeable(connection: sqlite3.Connection, keyring: Keyring, today: date) -> list[OwnKey]:
    """Return the keys that were sent as something that may still change, inside a transaction that is open.

    Days that this device has forgotten meanwhile are left out, and those that it may forget before a retry.
    """
    held = keyring.held_within(connection, today - timedelta(days=MAX_OFFERED_DAYS))
    return [key for key in held if key.sent is not None and not key.revised and REVISIONS[key.sent]]


def changing_to(keys: Collection[OwnKey], finding: TestType) -> list[TemporaryExposureKey]:
    """Return those of the changeable keys that a finding changes."""
    return [key.tek for key in keys if key.sent is not None and may_become(key.sent, finding)]


def acceptable(keys: Collection[OwnKey], *, offers_days: bool) -> tuple[TestType, ...]:
    """Return what a code may stand for so that something follows from it; the server takes no other for spent.

    `offers_days`: there are keys that were never sent.
    """
    return tuple(finding for finding in TestType if (offers_days and finding in POSITIVE) or changing_to(keys, finding))
