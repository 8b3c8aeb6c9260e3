"""A real radio under a daemon whose clock runs faster: the radio itself keeps real time, as kernel and bluetoothd do.

The virtual machine of the tests starts its daemons by `brisk_daemon`, and nobody else does: only there is an identifier
shorter on the air than a product's may be.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.radio import AdvertisingReport, Capabilities, Radio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.intervals import INTERVAL_S
from forewarn_shell.clock import Clock, SystemClock
from forewarn_simulations.clocks import ScaledClock

SCAN_WINDOW_S: Final = 2.0
"""This and what follows in real seconds."""
SCAN_GAP_S: Final = (2.5, 4.0)
ROTATION_S: Final = (8.0, 12.0)
ROTATION_PAUSE_S: Final = (0.05, 0.5)
LEAST_FACTOR: Final = INTERVAL_S / ROTATION_S[0]
"""An interval speaks one identifier: on a slower clock a device would come to more than an hour ahead of it."""


def brisk_daemon(settings: ClientSettings, clock: ScaledClock, radio: Radio) -> Daemon:
    """Return a daemon on a radio of real time, which scans for 2 s and rotates every 8 to 12 s.

    Raises:
        ValueError: the clock runs too slowly for that.
    """
    if clock.factor < LEAST_FACTOR:
        raise ValueError(f"a clock for a new identifier every 8 s runs at least {LEAST_FACTOR:g} times as fast")
    return Daemon(settings, clock, RealTimeRadio(radio, clock), brisk_timing(clock.factor))


def brisk_timing(factor: float) -> Timing:
    """Return the durations above in seconds of a clock that runs `factor` times as fast."""
    return Timing(
        scan_window_s=SCAN_WINDOW_S * factor,
        scan_gap_s=(SCAN_GAP_S[0] * factor, SCAN_GAP_S[1] * factor),
        rotation_s=(ROTATION_S[0] * factor, ROTATION_S[1] * factor),
        rotation_pause_s=(ROTATION_PAUSE_S[0] * factor, ROTATION_PAUSE_S[1] * factor),
    )


class RealTimeRadio:
    """Hands everything on to `radio`, and translates between its time and the daemon's.

    What is heard in a window stays as far from its opening as it was: on the daemon's clock a burst of 2 s lasts 2 s,
    as it does on a device.
    """

    def __init__(self, radio: Radio, clock: ScaledClock, radio_clock: Clock | None = None) -> None:
        self._radio = radio
        self._clock = clock
        self._radio_clock = radio_clock or SystemClock()

    async def start(self) -> Capabilities:
        """Start it."""
        return await self._radio.start()

    async def advertise(self, payload: Payload) -> None:
        """Let it speak."""
        await self._radio.advertise(payload)

    async def stay_on_air(self, until_s: float) -> None:
        """Wait with it."""
        left_s = (until_s - self._clock.monotonic()) / self._clock.factor
        await self._radio.stay_on_air(self._radio_clock.monotonic() + left_s)
        await self._clock.sleep_until(until_s)

    async def stop_advertising(self) -> None:
        """Silence it."""
        await self._radio.stop_advertising()

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Scan with it for `window_s` of the daemon's seconds."""
        opened_s, real_s = self._clock.monotonic(), self._radio_clock.monotonic()
        async with aclosing(self._radio.scan(window_s / self._clock.factor)) as reports:
            async for report in reports:
                at_s = opened_s + report.monotonic_s - real_s
                yield AdvertisingReport(at_s, report.address, report.rssi_dbm, report.service_data)

    async def close(self) -> None:
        """Close it."""
        await self._radio.close()
