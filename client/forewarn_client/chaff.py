"""Chaff: what a report looks like on the network, sent now and then by a device that has nothing to report.

The requests go through the same functions as a report's, so sizes, gaps and connections are the same by construction.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress
from enum import Enum
from random import Random
from typing import Final

from forewarn_client.connection import Connection, connect
from forewarn_client.device import Device
from forewarn_client.offering import MAX_OFFERED_DAYS
from forewarn_client.report_requests import Walk, certify, known_configuration, publish, verify
from forewarn_client.revising import POSITIVE
from forewarn_client.timing import Timing
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.intervals import INTERVALS_PER_DAY, Interval, interval_at, midnight
from forewarn_protocol.keys import KEY_BYTES, TemporaryExposureKey
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.verification import NONCE_BYTES, SHORT_CODE_DIGITS, tekmac

_HMAC_KEY_BYTES: Final = 32


class Shape(Enum):
    """What a report may look like from outside."""

    WHOLE = "whole"
    PAUSED = "paused"
    """After verify the person is asked again, or the network breaks off: the rest comes later, on a new connection."""
    BROKEN_OFF = "broken off"
    """A mistyped code, or a person who changes their mind, ends after verify."""


_SHARES: Final = {Shape.WHOLE: 0.7, Shape.PAUSED: 0.15, Shape.BROKEN_OFF: 0.15}
"""Nobody knows how often real reports look so; each shape is common enough in chaff to hide them."""


async def chaff(device: Device, timing: Timing) -> AsyncGenerator[None, None]:
    """Send chaff for ever, at the moments of a Poisson process.

    Such a process has no memory: a daemon that starts again draws anew, nothing is kept, and the moments are as before.
    """
    clock = device.clock
    while True:
        await clock.sleep_until(clock.monotonic() + timing.draw_chaff_gap())
        # Without a network there is nobody to see it missing; what else is wrong is told by the jobs that need answers.
        with suppress(ForewarnError):
            await send_chaff(device, timing, draw_shape(timing.random))
        yield


def draw_shape(random: Random) -> Shape:
    """Return what the next chaff shall look like."""
    (shape,) = random.choices([*_SHARES], [*_SHARES.values()])
    return shape


async def send_chaff(device: Device, timing: Timing, shape: Shape) -> None:
    """Walk the way of a report.

    Raises:
        ForewarnError: what a report would meet; it is left at that.
    """
    walk = Walk(device.clock, timing, device.settings.language, chaff=True)
    server, clock = device.settings.server, device.clock
    async with connect(server, clock) as connection:
        code = f"{secrets.randbelow(10**SHORT_CODE_DIGITS):0{SHORT_CODE_DIGITS}d}"
        token = (await verify(walk, connection, code, secrets.token_bytes(NONCE_BYTES), POSITIVE)).token
        if shape is Shape.WHOLE:
            await _publish(device, walk, connection, token)
    if shape is Shape.PAUSED:
        await clock.sleep_until(clock.monotonic() + timing.draw(timing.reading_s))
        async with connect(server, clock) as connection:
            await _publish(device, walk, connection, token)


async def _publish(device: Device, walk: Walk, connection: Connection, token: str) -> None:
    authority = (await known_configuration(device, connection)).health_authority_id
    keys = tuple(PublishedKey.of(tek) for tek in _nobodys_keys(walk))
    hmac_key = secrets.token_bytes(_HMAC_KEY_BYTES)
    certificate = await certify(walk, connection, token, tekmac(keys, hmac_key))
    request = PublishRequest(
        keys=keys, health_authority_id=authority, verification_payload=certificate, hmac_key=hmac_key
    )
    await publish(walk, connection, request)


def _nobodys_keys(walk: Walk) -> list[TemporaryExposureKey]:
    # Not for the network, which sees one size, but for the server: as many as a report has take as long to check.
    today = midnight(interval_at(walk.clock.utc()))
    days = walk.timing.random.randint(1, MAX_OFFERED_DAYS)
    return [
        TemporaryExposureKey(
            secrets.token_bytes(KEY_BYTES), Interval(today - INTERVALS_PER_DAY * ago), INTERVALS_PER_DAY
        )
        for ago in range(1, days + 1)
    ]
