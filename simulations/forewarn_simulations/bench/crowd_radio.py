"""A radio among a crowd: every scan hears the same number of neighbours, whose advertisements it parses one by one."""

from collections.abc import AsyncGenerator, Iterator
from datetime import date
from functools import lru_cache
from hashlib import sha256
from typing import Final

from forewarn_client.radio import AdvertisingReport, Capabilities
from forewarn_client.speaking import payload_of
from forewarn_protocol.advertisement import Payload, decode, encode
from forewarn_protocol.intervals import day_at, first_interval, interval_at
from forewarn_protocol.keys import KEY_BYTES, TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_shell.clock import Clock

ADVERTISING_INTERVAL_S: Final = 0.235
"""The middle of what the protocol allows."""
_ROTATION_S: Final = 900.0
"""The middle of the 10 to 20 minutes that an identifier lives."""
_METADATA: Final = Metadata(-20, Confidence.HIGH)
_LOUDEST_DBM, _LEVELS = -55, 40


class CrowdRadio:
    """A receiver among `neighbours` devices that never leave, each with a new identifier every quarter of an hour.

    What it is told to speak is on no air. It holds no report longer than the daemon takes to look at it.
    """

    def __init__(self, neighbours: int, clock: Clock) -> None:
        self._neighbours = neighbours
        self._clock = clock

    async def start(self) -> Capabilities:
        """Have nothing to take hold of."""
        return Capabilities(
            extended_advertising=True, every_rssi_sample=True, flags_settable=True, tx_power_range_dbm=(-50, 20)
        )

    async def advertise(self, payload: Payload) -> None:
        """Speak to nobody."""

    async def stay_on_air(self, until_s: float) -> None:
        """Wait: what is on no air is never lost."""
        await self._clock.sleep_until(until_s)

    async def stop_advertising(self) -> None:
        """Have nothing on the air."""

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Wait for the window's end, then parse every advertisement that came in it."""
        opened_s = self._clock.monotonic()
        crowd = [self._neighbour(number) for number in range(self._neighbours)]
        await self._clock.sleep_until(opened_s + window_s)
        for after_s in _times(window_s):
            for address, advertisement, rssi_dbm in crowd:
                service_data = decode(advertisement).service_data
                yield AdvertisingReport(opened_s + after_s, address, rssi_dbm, service_data)

    async def close(self) -> None:
        """Have nothing to let go of."""

    def _neighbour(self, number: int) -> tuple[bytes, bytes, int]:
        """Return a neighbour's address, advertisement and strength for now; not all change at the same moment."""
        part = number / self._neighbours
        turn = int(self._clock.utc() / _ROTATION_S + part)
        advertisement = _advertisement(number, (turn - part) * _ROTATION_S)
        return b"%6d" % (turn % 1_000_000), advertisement, _LOUDEST_DBM - number % _LEVELS


def neighbour_key(number: int, day: date) -> TemporaryExposureKey:
    """Return what a neighbour speaks under on a UTC day."""
    return TemporaryExposureKey(
        sha256(b"%d %d" % (number, first_interval(day))).digest()[:KEY_BYTES], first_interval(day)
    )


@lru_cache(maxsize=1024)  # what a neighbour's own device computes is not to be counted as work of the one that hears
def _advertisement(number: int, since_s: float) -> bytes:
    tek, interval = neighbour_key(number, day_at(since_s)), interval_at(since_s)
    return encode(payload_of(tek, interval, _METADATA))


def sightings_per_window(window_s: float) -> int:
    """Return how often each neighbour is heard in a scan window."""
    return sum(1 for _ in _times(window_s))


def _times(window_s: float) -> Iterator[float]:
    number = 0
    while (after_s := number * ADVERTISING_INTERVAL_S) < window_s:
        yield after_s
        number += 1
