"""What a running daemon holds in memory of other people's code: a badge has 512 MB for everything."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import HonestServer, public
from tests.client.meetings import confirmed, key_of_day, phone

TOO_BIG = {"numpy", "rich", "babel", "matplotlib", "structlog", "sqlalchemy", "bleak", "bumble", "jinja2"}
"""`bleak` and `bumble` are for the radios of those names; this daemon has the one in the process."""

# The whole product's process: its command line and a daemon that has come to work, which then gets its SIGTERM.
_RUNNING = """
import json, os, signal, sys
from pathlib import Path
import forewarn_client.__main__, forewarn_client.cli
{also}
from forewarn_client.config import ClientSettings
from forewarn_client.running import run_daemon
from forewarn_shell.clock import SystemClock

def ready(_):
    print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
    os.kill(os.getpid(), signal.SIGTERM)

run_daemon(ClientSettings(data=Path(sys.argv[1])), SystemClock(), say=ready)
"""


def held_by_a_running_daemon(data: Path, also: str = "") -> set[str]:
    """Return the top-level modules that a process of `run` has imported once it works."""
    ran = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", _RUNNING.format(also=also), data],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(ran.stdout))


def test_a_running_daemon_has_imported_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    held = held_by_a_running_daemon(tmp_path)
    assert {"forewarn_client", "cryptography"} <= held
    assert not held & TOO_BIG
    assert not held & {"forewarn_server", "forewarn_simulations"}


@pytest.mark.parametrize("library", ["numpy", "rich"])
def test_a_library_that_a_daemon_has_imported_is_found(tmp_path: Path, library: str) -> None:
    """Positive control for the check above."""
    assert held_by_a_running_daemon(tmp_path, f"import {library}") & TOO_BIG >= {library}


# A worker's process that has answered both questions.
_ASKED = """
import json, os, sys
from datetime import date
from pathlib import Path
import forewarn_client.assessing.worker as worker
{also}
from forewarn_client.assessing.messages import QUESTION
from forewarn_client.assessing.questions import Comparison, Judging, Place

data, key = Path(sys.argv[1]), sys.argv[2]
place = Place(data / "diary.db", data / "device.key")
files = [os.open(data / name, os.O_RDWR | os.O_CREAT) for name in ("keys.zip", "found")]
answers = worker.answer(QUESTION.dump_json(Comparison(place, (key,), date(2025, 6, 1))), files)
answers += worker.answer(QUESTION.dump_json(Judging(place, "/config/vn.json", 0.0)), [])
assert b'"keys":1' in answers and b'"verdicts"' in answers, answers
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


async def held_by_a_worker(device: Device, server: HonestServer, also: str = "") -> set[str]:
    """Return the top-level modules of a process that has compared and judged."""
    await fetch(device)
    data = device.settings.data
    path = server.put_export([confirmed(key_of_day(NOON_S, 1))])
    (data / "keys.zip").write_bytes(server.files[path])
    command = [sys.executable, "-c", _ASKED.format(also=also), data, public(server.export_key)]
    return set(json.loads(await asyncio.to_thread(subprocess.check_output, command, timeout=60)))


@pytest.mark.parametrize("also", ["", "import numpy"])
async def test_a_process_that_compares_and_judges_has_imported_less_than_a_daemon(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, also: str
) -> None:
    """With its positive control: a library that is too big is found."""
    async with phone(server, tmp_path / "phone", clock) as device:
        held = await held_by_a_worker(device, server, also)
    assert {"forewarn_client", "cryptography", "pydantic"} <= held
    unwanted = held & (TOO_BIG | {"aiohttp", "typer", "platformdirs", "forewarn_server", "forewarn_simulations"})
    assert unwanted == ({"numpy"} if also else set())


def test_the_fortnights_process_holds_what_a_daemon_holds_and_little_more(tmp_path: Path) -> None:
    """The memory of `bench daemon` is the product's: beside it, the simulations' clock and radio alone."""
    held = held_by_a_running_daemon(tmp_path)
    measured = held_by_a_running_daemon(tmp_path, "import forewarn_simulations.bench.fortnight")
    assert held <= measured
    assert measured - held == {"forewarn_simulations"}
