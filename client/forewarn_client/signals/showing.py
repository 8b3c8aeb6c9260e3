"""The job that shows the condition on LED and buzzer; whatever goes wrong with them concerns this job alone."""

import math
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from forewarn_client.board import LAST_BEEP
from forewarn_client.condition import State, condition_of
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.signals.leds import Led
from forewarn_client.signals.rhythms import BEEPS, rhythm_of
from forewarn_client.status import glance
from forewarn_protocol.errors import Missing

LOOK_EACH_S: Final = 300.0
SHOWN_FOR_S: Final = 3 * LOOK_EACH_S
"""How long a rhythm outlives a daemon that was killed."""
BEEP_AGAIN_AFTER_S: Final = 24 * 3600.0
LEAST_GAP_S: Final = 3600.0
"""However often a fault comes and goes."""

_MESSAGES: Final = frozenset({State.ALERT, State.CALL})


def has_signals(settings: ClientSettings) -> bool:
    """Tell whether the device has anything to signal with."""
    return settings.led is not None or settings.buzzer is not None


async def show_condition(device: Device) -> AsyncGenerator[None, None]:
    """Show the condition for ever, looking each five minutes; dark at the end, as a device that does not work is.

    Raises:
        Missing: LED or buzzer is not there, or may not be written.
    """
    settings, clock = device.settings, device.clock
    led = None if settings.led is None else Led.named(settings.led)
    buzzer = None if settings.buzzer is None else Led.named(settings.buzzer)
    before: State | None = None
    beep_is_owed = False
    try:
        while True:
            state = condition_of(await glance(device)).state
            if led is not None:
                led.show(rhythm_of(state, settings.led_alert), SHOWN_FOR_S)
            if buzzer is not None and state in _MESSAGES:
                beep_is_owed = beep_is_owed or (before is not None and state is not before)
                beep_is_owed &= not await _beep(device, buzzer, at_once=beep_is_owed)
            before = state
            yield
            await clock.sleep_until(clock.monotonic() + LOOK_EACH_S)
    finally:
        if led is not None:
            with suppress(Missing):
                led.darken()


async def _beep(device: Device, buzzer: Led, *, at_once: bool) -> bool:
    """Beep for a message that is new, and once a day while it stands; never in the quiet hours. Tell whether it did."""
    now_s = device.clock.utc()
    last = (await device.status.read()).get(LAST_BEEP)
    # After a step back of the clock, no last time is known.
    since_s = now_s - last if isinstance(last, int | float) and last <= now_s else math.inf
    if _is_quiet(device.settings.quiet_hours, now_s) or since_s < (LEAST_GAP_S if at_once else BEEP_AGAIN_AFTER_S):
        return False
    buzzer.once(BEEPS)
    await device.status.note(LAST_BEEP, now_s)
    return True


def _is_quiet(hours: str, now_s: float) -> bool:
    first, last = (int(hour) for hour in hours.split("-"))
    # The wearer's own time of day.
    return (time.localtime(now_s).tm_hour - first) % 24 < (last - first) % 24
