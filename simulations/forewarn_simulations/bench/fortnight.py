"""A daemon's fortnight in a crowd, in a process of its own that holds what `forewarn-client run` holds.

`python -m forewarn_simulations.bench.fortnight DIR NEIGHBOURS DAYS` prints its memory as JSON. Beyond the product it
holds a virtual clock and the radio of the crowd, and nothing of the simulations' libraries.
"""

import asyncio
import json
import logging
import re
import sys
from pathlib import Path
from typing import Final

import forewarn_client.cli  # noqa: F401 - the product's process has imported its whole command line
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.timing import Timing
from forewarn_simulations.bench.crowd_radio import CrowdRadio
from forewarn_simulations.clocks import VirtualClock

EPOCH_S: Final = 1_750_032_000.0
"""2025-06-16, midnight UTC."""
_DAY_S: Final = 86_400.0
_STATUS_FILE: Final = Path("/proc/self/status")


async def live(data: Path, neighbours: int, days: float) -> None:
    """Run the daemon for so many simulated days, then end it."""
    clock = VirtualClock(EPOCH_S)
    daemon = Daemon(ClientSettings(data=data), clock, CrowdRadio(neighbours, clock), Timing.production())
    task = asyncio.create_task(daemon.run(), name="daemon")
    await clock.run_for(days * _DAY_S)
    print(json.dumps(memory_mb(data)))  # noqa: T201 - the process's answer, while the daemon still runs
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def memory_mb(data: Path) -> dict[str, float]:
    """Return what this process has resident, had at its peak, and the size of its diary."""
    status = _STATUS_FILE.read_text(encoding="ascii")
    resident, peak = (
        int(found[1]) / 1024 for name in ("VmRSS", "VmHWM") if (found := re.search(rf"{name}:\s+(\d+) kB", status))
    )
    diary = sum(path.stat().st_size for path in data.iterdir()) / 2**20
    return {"rss_mb": resident, "peak_rss_mb": peak, "diary_mb": diary}


if __name__ == "__main__":
    logging.disable()  # a daemon without a server says so for a fortnight
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
