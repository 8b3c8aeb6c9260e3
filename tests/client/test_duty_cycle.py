"""A real daemon's week: when it scans, when its identifiers change, how fast it says them, what `doctor` says of it.

Each spread is compared with the uniform one that the protocol asks for, by the Kolmogorov-Smirnov distance; a daemon
in step fails the same checks.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from itertools import pairwise
from math import sqrt
from pathlib import Path
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.doctor.energy import OnTime
from forewarn_client.radio import AdvertisingReport
from forewarn_client.radio.loopback import Air, LoopbackRadio, Transmission
from forewarn_client.timing import Span, Timing
from forewarn_simulations.clocks import VirtualClock

DAYS = 7
DAY_S = 86_400.0
SURE = 1.95
"""Kolmogorov-Smirnov: a uniform sample is further off once in a thousand times."""


class Alone(Air):
    """An air on which nobody else is, that keeps what was sent."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, None)  # type: ignore[arg-type]  # nobody listens here
        self.sent: list[Transmission] = []

    def begin(self, transmission: Transmission) -> None:
        self.sent.append(transmission)
        super().begin(transmission)


class Watched(LoopbackRadio):
    """A radio that keeps when its scans began and ended."""

    def __init__(self, air: Air, timing: Timing) -> None:
        super().__init__(air, "self", timing)
        self.windows: list[Span] = []

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        opens_s = self._air.clock.monotonic()
        async for report in super().scan(window_s):
            yield report
        self.windows.append((opens_s, self._air.clock.monotonic()))


async def week(folder: Path, timing: Timing, days: float = DAYS) -> tuple[list[Span], list[Transmission]]:
    """Return the scan windows and the identifiers of a daemon's days, those that have ended."""
    clock = VirtualClock(1_750_032_000.0)
    await clock.run_for(0)
    air = Alone(clock)
    radio = Watched(air, timing)
    task = asyncio.create_task(Daemon(ClientSettings(data=folder), clock, radio, timing).run())
    await clock.run_for(days * DAY_S)
    task.cancel()
    await asyncio.wait([task])
    return radio.windows, air.sent[:-1]


def distance(values: list[float], span: Span) -> float:
    """Return the Kolmogorov-Smirnov distance from the uniform spread, in units of one over the root of the number."""
    shortest, longest = span
    shares = [(value - shortest) / (longest - shortest) for value in sorted(values)]
    number = len(values)
    return sqrt(number) * max(max((i + 1) / number - share, share - i / number) for i, share in enumerate(shares))


def gaps(windows: list[Span]) -> list[float]:
    return [after[0] - before[0] for before, after in pairwise(windows)]


async def test_a_week_keeps_to_the_duty_cycle_and_to_what_doctor_says_of_it(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    timing = Timing(random=Random(11))
    windows, sent = await week(tmp_path, timing)
    lasted = [one.ends_s - one.starts_s for one in sent]
    intervals = [one.interval_s for one in sent]
    assert all(closes_s - opens_s == pytest.approx(4) for opens_s, closes_s in windows)
    assert all(150 <= gap <= 300 for gap in gaps(windows))
    assert distance(gaps(windows), (150, 300)) < SURE
    assert all(600 <= seconds <= 1200 for seconds in lasted)
    assert all(0.2 <= interval <= 0.27 for interval in intervals)
    assert distance(intervals, (0.2, 0.27)) < SURE
    closes = {round(closes_s, 3) for _, closes_s in windows}
    assert all(round(one.ends_s, 3) in closes for one in sent), "an identifier changed elsewhere than after a window"
    predicted = OnTime.of(timing, timing.advertise_interval_s)
    advertisements = sum(seconds / one.interval_s for seconds, one in zip(lasted, sent, strict=True)) / DAYS
    scanned_s = sum(closes_s - opens_s for opens_s, closes_s in windows) / DAYS
    assert scanned_s == pytest.approx(predicted.scanning_s, rel=0.02)
    assert advertisements == pytest.approx(predicted.advertisements, rel=0.02)
    figure(
        f"duty cycle of a week: {len(windows)} windows {min(gaps(windows)):.0f}-{max(gaps(windows)):.0f} s apart, "
        f"{len(sent)} identifiers of {min(lasted):.0f}-{max(lasted):.0f} s, {scanned_s:.0f} s of scanning a day "
        f"(doctor {predicted.scanning_s:.0f}), {advertisements:.0f} advertisements "
        f"(doctor {predicted.advertisements:.0f})"
    )


async def test_a_daemon_in_step_is_found(tmp_path: Path) -> None:
    """Positive control: windows each 4 minutes, and a speed that hardly changes."""
    timing = replace(Timing(random=Random(11)), scan_gap_s=(239.0, 241.0), advertise_interval_s=(0.25, 0.251))
    windows, sent = await week(tmp_path, timing, days=1)
    assert distance(gaps(windows), (150, 300)) > SURE
    assert distance([one.interval_s for one in sent], (0.2, 0.27)) > SURE
