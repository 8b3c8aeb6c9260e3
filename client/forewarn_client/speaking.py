"""Which identifier is on the air and when it changes: every 10 to 20 minutes, right after a scan window."""

import logging
from collections.abc import AsyncGenerator
from contextlib import suppress

from forewarn_client.device import Device
from forewarn_client.listening import ScanPlan
from forewarn_client.radio import Radio
from forewarn_client.timing import Timing
from forewarn_client.trust import LOOK_AGAIN_S
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.identifiers import EncryptedMetadata, crypt_metadata, identifier
from forewarn_protocol.intervals import INTERVAL_S, Interval, interval_at
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_shell.clock import Clock

_log = logging.getLogger(__name__)


async def speak(device: Device, radio: Radio, timing: Timing, plan: ScanPlan) -> AsyncGenerator[None, None]:
    """Speak for ever, yielding when an identifier is on the air.

    Silent while none is left to be spoken, and while the clock is not believed: nobody could match what it says.

    Midnight is no change of its own: the first identifier taken after it is the new day's, at this device's own time.
    """
    clock = device.clock
    metadata = Metadata(device.settings.tx_power_dbm, Confidence(device.settings.confidence))
    try:
        await radio.start()  # before an identifier is taken: a radio that is away for hours must not use them all up
        while True:
            if not (verdict := await device.trust.watch()).trusted:
                await radio.stop_advertising()
                _log.info("silent: the clock is not believed")
                await clock.sleep_until(clock.monotonic() + LOOK_AGAIN_S)
                continue
            now_s = verdict.now_s
            spoken = await device.keyring.next_identifier(interval_at(now_s))
            if spoken is None:
                await radio.stop_advertising()
                _log.info("silent: every identifier of the coming hour was spoken before")
                await clock.sleep_until(clock.monotonic() + INTERVAL_S - now_s % INTERVAL_S)
            else:
                await radio.advertise(payload_of(*spoken, metadata))
                _log.debug("speaking a new identifier under a new address")
                yield
                await _wait_for_rotation(radio, clock, timing, plan)
    except Exception:
        # Better silent than an identifier that stays on the air while the fault is being waited out.
        with suppress(ForewarnError, OSError):
            await radio.stop_advertising()
        raise


def payload_of(tek: TemporaryExposureKey, interval: Interval, metadata: Metadata) -> Payload:
    """Return what is spoken for one interval of a key."""
    rpi = identifier(tek.key, interval)
    return Payload(rpi, EncryptedMetadata(crypt_metadata(tek.key, rpi, metadata.encode())))


async def _wait_for_rotation(radio: Radio, clock: Clock, timing: Timing, plan: ScanPlan) -> None:
    began_s = clock.monotonic()
    shortest_s, longest_s = timing.rotation_s
    # Drawn early enough that the end of a scan window still fits before the longest time allowed.
    latest_s = longest_s - timing.scan_gap_s[1] - timing.scan_window_s - timing.rotation_pause_s[1]
    await radio.stay_on_air(began_s + timing.draw((shortest_s, max(shortest_s, latest_s))))
    if clock.monotonic() < plan.closes_s <= began_s + longest_s:
        # Controllers without extended advertising refuse a new address while a scan runs: change right after it.
        await radio.stay_on_air(plan.closes_s)
