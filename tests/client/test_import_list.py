"""What a running daemon holds in memory of other people's code: a badge has 512 MB for everything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_fortnights_process_holds_what_a_daemon_holds_and_little_more(tmp_path: Path) -> None:
    """The memory of `bench daemon` is the product's: beside it, the simulations' clock and radio alone."""
    held = held_by_a_running_daemon(tmp_path)
    measured = held_by_a_running_daemon(tmp_path, "import forewarn_simulations.bench.fortnight")
    assert held <= measured
    assert measured - held == {"forewarn_simulations"}
