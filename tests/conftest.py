"""What a machine may lack, and the figures that tests measure.

A test skips with a sentence, or fails where FOREWARN_REQUIRE names the missing thing.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

from forewarn_server.setting_up import initialise

_BUS_CONFIGURATION = """<busconfig><type>custom</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("forewarn", deadline=None)
settings.load_profile("forewarn")

REQUIREMENTS = ("vectors", "proximity", "postgres", "chromium", "vm", "ray", "dbus", "systemd")


def lacking(thing: str, sentence: str) -> None:
    """Skip the running test because `thing` is missing, unless FOREWARN_REQUIRE forbids it."""
    required = os.environ.get("FOREWARN_REQUIRE", "").replace(",", " ").split()
    if unknown := set(required) - {*REQUIREMENTS, "all"}:
        pytest.fail(f"FOREWARN_REQUIRE names {', '.join(sorted(unknown))}: it knows {', '.join(REQUIREMENTS)} and all")
    if thing in required or "all" in required:
        pytest.fail(f"FOREWARN_REQUIRE demands {thing}, but {sentence}")
    pytest.skip(sentence)


def shared_folder(name: str) -> Path:
    folder = Path(os.environ.get("FOREWARN_SHARED", Path(__file__).parents[2] / "shared")) / name
    if not folder.is_dir():
        lacking(name, f"other projects' data is not here: set FOREWARN_SHARED to the folder that holds {name}/")
    return folder


def pytest_configure() -> None:
    """Hear Ctrl-C even where tests run in the background of a shell, which ignores it: their processes would too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _answers_leave_at_once() -> Iterator[None]:
    """Let no test wait for the clock grid that is not about it; such a test sets `answer_grid_ms` by itself."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FOREWARN_SERVER_ANSWER_GRID_MS", "0")
        yield


@pytest.fixture(scope="session")
def fresh_server_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data folder as `forewarn-server init` leaves it, to be copied: making keys takes its time."""
    folder = tmp_path_factory.mktemp("fresh") / "server"
    initialise(folder, "vn")
    return folder


@pytest.fixture(scope="session")
def vectors() -> Path:
    return shared_folder("vectors")


@pytest.fixture(scope="session")
def proximity_data() -> Path:
    return shared_folder("proximity")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a measured figure; it is printed at the end of the run, on whichever core it was measured."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    figures = [str(value) for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("measured")
        for text in figures:
            terminalreporter.write_line(text)


@pytest.fixture
def machine_for_itself(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Wait for its turn: no two tests that hold this run at once, on whichever core.

    For what needs the whole machine, and for what measures time.
    """
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (shared / "machine.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


@pytest.fixture(scope="session")
def system_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a D-Bus of the tests' own, and return its address: the machine's is never asked."""
    program = shutil.which("dbus-daemon")
    if program is None:
        lacking("dbus", "no dbus-daemon is installed: install dbus")
        raise AssertionError
    folder = tmp_path_factory.mktemp("bus")
    configuration = folder / "bus.conf"
    configuration.write_text(_BUS_CONFIGURATION.format(path=folder / "bus"))
    command = [program, f"--config-file={configuration}", "--nofork", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:  # noqa: S603 - found on the path
        assert daemon.stdout
        try:
            yield daemon.stdout.readline().strip()
        finally:
            daemon.terminate()
