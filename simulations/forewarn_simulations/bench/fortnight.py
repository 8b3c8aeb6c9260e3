"""A daemon's fortnight in a crowd, in a process of its own that holds what `forewarn-client run` holds.

`python -m forewarn_simulations.bench.fortnight DIR NEIGHBOURS DAYS` prints its memory as JSON. Beyond the product it
holds a virtual clock, the radio of the crowd and the file that it compares, and nothing of the simulations' libraries.
"""

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import forewarn_client.cli  # noqa: F401 - the product's process has imported its whole command line
from forewarn_client import matches
from forewarn_client.assessing.assessors import assessor_of
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.fetching import finish_file
from forewarn_client.judging import judge
from forewarn_client.timing import Timing
from forewarn_protocol.intervals import day_at
from forewarn_simulations.bench.crowd_radio import CrowdRadio
from forewarn_simulations.bench.reported import write_file
from forewarn_simulations.clocks import VirtualClock

EPOCH_S: Final = 1_750_032_000.0
"""2025-06-16, midnight UTC."""
_DAY_S: Final = 86_400.0
_LOOK_S: Final = 0.02
_KB_PER_MB: Final = 1024
_PROCESSES: Final = Path("/proc")


async def live(data: Path, neighbours: int, days: float) -> None:
    """Run the daemon for so many simulated days, let it compare a file and judge as after a fetch, then end it."""
    clock = VirtualClock(EPOCH_S)
    settings = ClientSettings(data=data)
    daemon = Daemon(settings, clock, CrowdRadio(neighbours, clock), Timing.production())
    task = asyncio.create_task(daemon.run(), name="daemon")
    await clock.run_for(days * _DAY_S)
    figures = {"rss_before_match_mb": memory_mb("self", "VmRSS")}
    async with Device.open(settings, clock) as device, children_watched() as peaks:
        with TemporaryFile() as file:
            public_key = await write_file(device, day_at(EPOCH_S), file)
            async with assessor_of(settings) as assessor:
                await finish_file(device, assessor, (public_key,), file, "0" * 64)
        alerts = await judge(device)
        figures |= {"rss_mb": memory_mb("self", "VmRSS"), "peak_rss_mb": memory_mb("self", "VmHWM")}
        sightings = sum(count for _, count in await device.database.read(matches.words, device.vault))
    spent = os.times()
    figures |= {
        "child_peak_mb": max(peaks.values(), default=0.0),
        "child_cpu_s": spent.children_user + spent.children_system,
        "matched_sightings": sightings,
        "alerts": len(alerts),
        "diary_mb": size_mb(data),
    }
    print(json.dumps(figures))  # noqa: T201 - the process's answer, while the daemon still runs
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def children_watched() -> AsyncIterator[dict[str, float]]:
    """Give the most that each process started meanwhile has had resident, in MB, by its number.

    What the system says of ended children would not do: it counts what the parent had when it started them.
    """
    peaks: dict[str, float] = {}
    task = asyncio.create_task(_watch(peaks), name="watching children")
    try:
        yield peaks
    finally:
        task.cancel()


async def _watch(peaks: dict[str, float]) -> None:
    while True:
        for thread in _PROCESSES.glob("self/task/*/children"):
            for child in thread.read_text(encoding="ascii").split():
                with suppress(OSError, KeyError):  # it has just ended
                    peaks[child] = memory_mb(child, "VmHWM")
        await asyncio.sleep(_LOOK_S)


def size_mb(folder: Path) -> float:
    """Return the size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


def memory_mb(process: str, figure: str) -> float:
    """Return a figure of a process's memory: VmRSS, what is resident, or VmHWM, what was at its peak."""
    status = (_PROCESSES / process / "status").read_text(encoding="ascii")
    return int(dict(re.findall(r"(\w+):\s+(\d+) kB", status))[figure]) / _KB_PER_MB


if __name__ == "__main__":
    logging.disable()  # a daemon without a server says so for a fortnight
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
