"""What the tracer costs the device that carries it: CPU for each sighting, and the daemon's resident memory."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.listening import ScanPlan, listen
from forewarn_client.timing import Timing
from forewarn_simulations.bench.crowd_radio import CrowdRadio, sightings_per_window
from forewarn_simulations.bench.fortnight import EPOCH_S
from forewarn_simulations.bench.outcome import Outcome
from forewarn_simulations.clocks import VirtualClock

LIMITS: Final = {"cpu_us_per_sighting": 50.0, "rss_mb": 80.0, "child_peak_mb": 100.0}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: `runs` times `windows` scan windows, and one daemon for `days`, in each `neighbours`."""

    neighbours: int
    runs: int
    windows: int
    days: float


FULL: Final = Sizes(neighbours=100, runs=7, windows=40, days=14)
QUICK: Final = Sizes(neighbours=5, runs=1, windows=2, days=0.05)
_FEW: Final = 5
"""Neighbours of a quiet day: what a scan window costs by itself is shared by few sightings."""


def measure(quick: bool) -> Outcome:  # noqa: FBT001 - the form of every benchmark, never called by hand
    """Measure the pipeline in this process and the memory in one of its own."""
    sizes = QUICK if quick else FULL
    crowd, few = (
        median(asyncio.run(cpu_us_per_sighting(neighbours, sizes.windows)) for _ in range(sizes.runs))
        for neighbours in (sizes.neighbours, _FEW)
    )
    figures = {"cpu_us_per_sighting": crowd, "cpu_us_per_sighting_of_few": few, **fortnight(sizes)}
    return Outcome("daemon", figures, LIMITS)


async def cpu_us_per_sighting(neighbours: int, windows: int) -> float:
    """Return the CPU time of all threads for one sighting, from its bytes to its row in a diary on the disk."""
    timing = Timing.production()
    with TemporaryDirectory() as folder:
        clock = VirtualClock(EPOCH_S)
        async with (
            Device.open(ClientSettings(data=Path(folder)), clock) as device,
            aclosing(listen(device, CrowdRadio(neighbours, clock), timing, ScanPlan())) as steps,
        ):
            await anext(steps)  # the first one opens what the others find open, and makes the day's key
            before_s = time.process_time()
            for _ in range(windows):
                await anext(steps)
            spent_s = time.process_time() - before_s
    return spent_s * 1e6 / (windows * neighbours * sightings_per_window(timing.scan_window_s))


def fortnight(sizes: Sizes) -> dict[str, float]:
    """Run a daemon for its days in a process of its own; return that process's figures."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "forewarn_simulations.bench.fortnight"]
        ran = subprocess.run(  # noqa: S603 - ourselves
            [*command, folder, str(sizes.neighbours), str(sizes.days)], stdout=subprocess.PIPE, text=True, check=True
        )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures
