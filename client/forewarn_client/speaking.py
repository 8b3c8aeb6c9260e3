"""Which identifier is on the air and when it changes: every 10 to 20 minutes, right after a scan window."""

import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from forewarn_client.device import Device
from forewarn_client.listening import IS_SUSPEND_S, ScanPlan
from forewarn_client.radio import NotSpoken, Radio
from forewarn_client.timing import Timing
from forewarn_client.trust import LOOK_AGAIN_S
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.identifiers import EncryptedMetadata, crypt_metadata, identifier
from forewarn_protocol.intervals import INTERVAL_S, Interval, interval_at
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_shell.clock import Clock

_NOTICE_SUSPEND_WITHIN_S: Final = 30.0
"""Nothing wakes a process when its machine does: it has to look."""

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
            now_s, suspended_s = verdict.now_s, clock.suspended_s()
            spoken = await device.keyring.next_identifier(interval_at(now_s))
            if spoken is None:
                await radio.stop_advertising()
                _log.info("silent: every identifier of the coming hour was spoken before")
                await clock.sleep_until(clock.monotonic() + INTERVAL_S - now_s % INTERVAL_S)
            else:
                try:
                    await radio.advertise(payload_of(*spoken, metadata))
                except NotSpoken:
                    device.keyring.hand_back(*spoken)
                    raise
                _log.debug("speaking a new identifier under a new address")
                yield
                await _wait_for_rotation(radio, clock, timing, plan, suspended_s)
    except Exception:
        # Better silent than an identifier that stays on the air while the fault is being waited out.
        with suppress(ForewarnError, OSError):
            await radio.stop_advertising()
        raise


def payload_of(tek: TemporaryExposureKey, interval: Interval, metadata: Metadata) -> Payload:
    """Return what is spoken for one interval of a key."""
    rpi = identifier(tek.key, interval)
    return Payload(rpi, EncryptedMetadata(crypt_metadata(tek.key, rpi, metadata.encode())))


async def _wait_for_rotation(radio: Radio, clock: Clock, timing: Timing, plan: ScanPlan, suspended_s: float) -> None:
    began_s = clock.monotonic()
    shortest_s, longest_s = timing.rotation_s
    # Drawn early enough that the end of a scan window still fits before the longest time allowed.
    latest_s = longest_s - timing.scan_gap_s[1] - timing.scan_window_s - timing.rotation_pause_s[1]
    drawn_s = began_s + timing.draw((shortest_s, max(shortest_s, latest_s)))
    if not await _stay_on_air(radio, clock, drawn_s, suspended_s):
        return
    if clock.monotonic() < plan.closes_s <= began_s + longest_s:
        # Controllers without extended advertising refuse a new address while a scan runs: change right after it.
        await _stay_on_air(radio, clock, plan.closes_s, suspended_s)


async def _stay_on_air(radio: Radio, clock: Clock, until_s: float, suspended_s: float) -> bool:
    """Wait; return False as soon as the machine was suspended since its suspended seconds were `suspended_s`.

    Asleep, a controller may go on with what it said, fall silent, or be given it again under another address by the
    kernel. Whichever it was, that identifier is over.
    """
    while clock.suspended_s() - suspended_s < IS_SUSPEND_S:
        if (now_s := clock.monotonic()) >= until_s:
            return True
        await radio.stay_on_air(min(until_s, now_s + _NOTICE_SUSPEND_WITHIN_S))
    return False
