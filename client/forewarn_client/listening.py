"""When to scan and what to keep: a short window every few minutes, its reports gathered into one diary block."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from forewarn_client.board import LAST_SCAN, SCAN_MAY_LAG_S
from forewarn_client.device import Device
from forewarn_client.diary.block import MAX_OFFSET_MS, MAX_SAMPLES, Samples, ScanWindow, strongest
from forewarn_client.radio import REAL_RSSI_DBM, AdvertisingReport, Radio
from forewarn_client.timing import Timing
from forewarn_client.trust import LOOK_AGAIN_S
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES
from forewarn_shell.clock import Clock

IS_SUSPEND_S: Final = 1.0
"""Below, it is the difference of two clocks that were read one after the other."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ScanPlan:
    """When the coming scan window closes (monotonic), told ahead so that an identifier is never changed inside one."""

    closes_s: float = 0.0


async def listen(device: Device, radio: Radio, timing: Timing, plan: ScanPlan) -> AsyncGenerator[None, None]:
    """Scan for ever, yielding after each window: a window, a gap of random length, the next window.

    No scan begins while the clock is not believed: a sighting of a wrong time matches nothing, or what is replayed.
    """
    clock = device.clock
    last_opened_s: float | None = None
    suspended_s = clock.suspended_s()
    await radio.start()
    opens_s = clock.monotonic() + timing.draw(timing.first_step_s)
    while True:
        plan.closes_s = opens_s + timing.scan_window_s
        await clock.sleep_until(opens_s)
        while not (await device.trust.watch()).trusted:
            await clock.sleep_until(clock.monotonic() + LOOK_AGAIN_S)
        opened_s = clock.monotonic()
        plan.closes_s = opened_s + timing.scan_window_s  # later than planned after a suspend
        if clock.suspended_s() - suspended_s >= IS_SUSPEND_S:
            last_opened_s, suspended_s = None, clock.suspended_s()  # who was near in the hours slept is unknown
        since_s = None if last_opened_s is None else opened_s - last_opened_s
        window = await hear(radio, clock, timing.scan_window_s, since_s, device.settings.maximum_sightings_per_window)
        if window.bursts:
            await device.diary.record(window)
        else:
            await device.status.note(LAST_SCAN, window.start_s, at_most_every_s=SCAN_MAY_LAG_S)
        _log.debug("scan window: %d sightings of %d identifiers", window.count, len(window.bursts))
        yield
        last_opened_s = opened_s
        opens_s = opened_s + timing.draw(timing.scan_gap_s)


async def hear(
    radio: Radio, clock: Clock, window_s: float, since_last_scan_s: float | None, maximum: int
) -> ScanWindow:
    """Scan once; keep at most `maximum` sightings, the strongest identifiers first.

    Times inside the window come from the monotonic clock: a step of the wall clock can't tear a window apart.
    """
    start_s, opened_s = clock.utc(), clock.monotonic()
    bursts: dict[bytes, Samples] = {}
    count = 0
    async with aclosing(radio.scan(window_s)) as reports:
        async for report in reports:
            offset_ms = int((report.monotonic_s - opened_s) * 1000)
            if not _is_usable(report, offset_ms):
                continue
            samples = bursts.setdefault(report.service_data, [])
            if len(samples) < MAX_SAMPLES:
                samples.append((offset_ms, report.rssi_dbm))
                count += 1
            if count >= 2 * maximum:
                # A flood must not fill the memory before the window ends.
                bursts = strongest(bursts, maximum)
                count = maximum
    return ScanWindow(start_s, since_last_scan_s, strongest(bursts, maximum) if count > maximum else bursts)


def _is_usable(report: AdvertisingReport, offset_ms: int) -> bool:
    # Some stacks replay what they heard before the window opened.
    return (
        report.rssi_dbm in REAL_RSSI_DBM
        and len(report.service_data) == SERVICE_DATA_BYTES
        and 0 <= offset_ms <= MAX_OFFSET_MS
    )
