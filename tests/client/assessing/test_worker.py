"""The process that assesses: how it ends, however it or the daemon ends, and that no fault of it loses anything."""

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from forewarn_client.assessing import assessors
from forewarn_client.assessing.assessors import ProcessAssessor
from forewarn_client.assessing.questions import Comparison, Judging, Place
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer, public
from tests.client.meetings import confirmed, key_of_day, meet, phone, stored_matches

YESTERDAY_S = NOON_S - DAY_S
CASE = key_of_day(YESTERDAY_S, 1)
PATIENCE_S = 30
LEFT_BYTES = 3_000_000


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock, assessing="process") as opened:
        await meet(opened, CASE, YESTERDAY_S, 30)
        yield opened


@pytest.fixture
async def assessor() -> AsyncIterator[ProcessAssessor]:
    made = ProcessAssessor()
    yield made
    await made.close()


@dataclass
class Busy:
    """A worker that reads a device key which nobody writes: at work until it is ended."""

    asking: asyncio.Task[object]
    pid: int

    async def cancel(self) -> None:
        self.asking.cancel()
        await asyncio.wait([self.asking])


@pytest.fixture
def never_written(tmp_path: Path) -> Path:
    path = tmp_path / "device.key"
    os.mkfifo(path)
    return path


@asynccontextmanager
async def busy(assessor: ProcessAssessor, never_written: Path, device: Device) -> AsyncIterator[Busy]:
    place = Place(device.place.database, never_written)
    asking = asyncio.create_task(assessor.judge(Judging(place, "/config/vn.json", 0.0)))
    writer = await asyncio.to_thread(os.open, never_written, os.O_WRONLY)  # returns when the worker reads
    try:
        assert assessor._process is not None
        yield Busy(asking, assessor._process.pid)
    finally:
        os.close(writer)


def told_of(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def children() -> list[int]:
    """Return the workers of this process; other tests have a bus, or a browser, running in it."""
    found = Path("/proc/self/task").glob("*/children")
    started = [int(child) for thread in found for child in thread.read_text().split()]
    return [child for child in started if _is_worker(child)]


def _is_worker(pid: int) -> bool:
    try:
        return b"forewarn_client.assessing.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def ended(pid: int, within_s: float) -> bool:
    """Wait for the end of a process that need not be a child of this one."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], within_s)[0])
    finally:
        os.close(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_is_ended_is_a_fault_in_one_line(
    assessor: ProcessAssessor, never_written: Path, device: Device, number: signal.Signals
) -> None:
    async with busy(assessor, never_written, device) as worker:
        os.kill(worker.pid, number)
        with pytest.raises(Missing, match=rf"was ended by {number.name}: is there enough memory\?") as raised:
            await worker.asking
    assert "\n" not in raised.value.message


async def test_a_cancelled_question_ends_the_worker_at_once(
    assessor: ProcessAssessor, never_written: Path, device: Device
) -> None:
    async with busy(assessor, never_written, device) as worker:
        await worker.cancel()
        await assessor.close()
        assert not is_alive(worker.pid)


async def test_a_worker_leaves_ctrl_c_to_the_daemon_and_gives_way_to_scans_and_where_memory_runs_out(
    assessor: ProcessAssessor, never_written: Path, device: Device
) -> None:
    async with busy(assessor, never_written, device) as worker:
        ignored = int(next(line for line in told_of(worker.pid, "status").splitlines() if b"SigIgn" in line)[7:], 16)
        assert ignored >> (signal.SIGINT - 1) & 1
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) >= 10
        assert int(told_of(worker.pid, "oom_score_adj")) >= 500
        await worker.cancel()


async def test_no_key_stands_in_a_workers_command_line_or_environment(
    assessor: ProcessAssessor, never_written: Path, device: Device
) -> None:
    key = device.place.device_key.read_bytes()
    async with busy(assessor, never_written, device) as worker:
        told = told_of(worker.pid, "cmdline") + told_of(worker.pid, "environ")
        assert b"forewarn_client.assessing.worker" in told
        assert key not in told
        assert key.hex().encode() not in told
        await worker.cancel()


# A daemon whose worker is at work, and which is killed then: nobody is left to end the worker.
_KILLED = """
import asyncio, sys
from pathlib import Path
{unprotected}
from forewarn_client.assessing.assessors import ProcessAssessor
from forewarn_client.assessing.questions import Comparison, Judging, Place

async def ask():
    assessor = ProcessAssessor()
    question = Judging(Place(Path(sys.argv[1]), Path(sys.argv[2])), "/config/vn.json", 0.0)
    asking = asyncio.create_task(assessor.judge(question))
    while assessor._process is None:
        await asyncio.sleep(0.01)
    print(assessor._process.pid, flush=True)
    await asking

asyncio.run(ask())
"""
_UNWATCHED = """
from forewarn_client.assessing import assessors
assessors._WORKER = "tests.client.assessing.unwatched"
"""


@pytest.fixture
def daemon_killed_with_its_worker_at_work(
    device: Device, never_written: Path, request: pytest.FixtureRequest
) -> Iterator[int]:
    script = _KILLED.format(unprotected=request.param)
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", script, device.place.database, never_written],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    ) as daemon:
        assert daemon.stdout
        pid = int(daemon.stdout.readline())
        writer = os.open(never_written, os.O_WRONLY)
        daemon.kill()
        daemon.wait()
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.close(writer)


@pytest.mark.parametrize("daemon_killed_with_its_worker_at_work", [""], indirect=True)
def test_a_worker_ends_with_a_daemon_that_is_killed(daemon_killed_with_its_worker_at_work: int) -> None:
    assert ended(daemon_killed_with_its_worker_at_work, PATIENCE_S)


@pytest.mark.parametrize("daemon_killed_with_its_worker_at_work", [_UNWATCHED], indirect=True)
def test_a_worker_that_does_not_look_for_its_daemon_outlives_it(daemon_killed_with_its_worker_at_work: int) -> None:
    """Positive control for the check above."""
    assert not ended(daemon_killed_with_its_worker_at_work, 0.5)


async def first_child() -> int:
    """Return the process that is started next, long before it has answered: it has much to import."""
    while not (found := children()):  # noqa: ASYNC110 - nobody tells when a process is started
        await asyncio.sleep(0.01)
    return found[0]


async def kill_the_first_child() -> None:
    os.kill(await first_child(), signal.SIGKILL)


async def test_a_comparison_or_judging_that_is_killed_loses_nothing_and_the_next_one_makes_it_good(
    device: Device, server: HonestServer
) -> None:
    server.put_export([confirmed(CASE)])
    killing = asyncio.create_task(kill_the_first_child())
    with pytest.raises(Missing, match="was ended by SIGKILL"):
        await fetch(device)
    await killing
    assert (
        await device.database.read(lambda connection: connection.execute("SELECT 1 FROM finished_files").fetchall())
        == []
    )
    assert await stored_matches(device) == set()
    assert (await fetch(device)).complete
    assert await stored_matches(device) == {CASE.key}
    killing = asyncio.create_task(kill_the_first_child())
    with pytest.raises(Missing, match="was ended by SIGKILL"):
        await judge(device)
    await killing
    assert len(await judge(device)) == 1


async def test_a_fetch_that_is_cancelled_while_it_compares_leaves_no_process(
    device: Device, server: HonestServer
) -> None:
    server.put_export([confirmed(CASE)])
    fetching = asyncio.create_task(fetch(device))
    pid = await first_child()
    fetching.cancel()
    (result,) = await asyncio.gather(fetching, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)
    assert not is_alive(pid)
    assert await stored_matches(device) == set()


async def test_a_device_without_matches_starts_no_process_to_judge(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assessors, "_WORKER", "forewarn_client.there_is_no_such_module")
    await fetch(device)
    assert await judge(device) == []


async def test_a_worker_of_a_broken_installation_ends_the_daemon_as_a_programming_error(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put_export([confirmed(CASE)])
    monkeypatch.setattr(assessors, "_WORKER", "forewarn_client.there_is_no_such_module")
    with pytest.raises(RuntimeError, match="failed with exit code 1"):
        await fetch(device)


async def test_a_machine_that_starts_no_process_is_told_what_to_do(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put_export([confirmed(CASE)])
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Missing, match=r"no process can be started .* set assessing to thread"):
        await fetch(device)


async def test_a_worker_without_memory_says_so_and_answers_again_when_there_is_some(
    device: Device, server: HonestServer, assessor: ProcessAssessor
) -> None:
    """Tens of thousands of identifiers need more than the megabytes that are left."""
    path = server.put_export([confirmed(CASE)])
    for number in range(10):
        invented = {os.urandom(SERVICE_DATA_BYTES): [(0, -60)] for _ in range(4000)}
        await device.diary.record(ScanWindow(YESTERDAY_S + number * 240, 240, invented))
    question = Comparison(device.place, (public(server.export_key),), date(2025, 6, 1))
    await assessor.judge(Judging(device.place, "/config/vn.json", 0.0))  # by now it has all its libraries
    assert assessor._process is not None
    pid = assessor._process.pid
    taken = int(told_of(pid, "statm").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    with TemporaryFile() as export, TemporaryFile() as found:
        export.write(server.files[path])
        resource.prlimit(pid, resource.RLIMIT_AS, (taken + LEFT_BYTES, resource.RLIM_INFINITY))
        with pytest.raises(Missing, match="not enough memory to compare keys with the diary: end other programs"):
            await assessor.compare(question, export, found)
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert (await assessor.compare(question, export, found)).keys == 1


# A daemon to which its unit has given a capability, and its worker.
_WITH_RIGHTS = """
import asyncio, sys
from pathlib import Path
{unprotected}
from forewarn_client.assessing import assessors

def rights(process):
    return next(line.split()[1] for line in Path(f"/proc/{{process}}/status").open() if line.startswith("CapEff"))

async def start():
    import socket
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = await assessors._start(theirs.fileno())
    print(rights("self"), rights(worker.pid))
    worker.kill()
    await worker.wait()
    ours.close()
    theirs.close()

asyncio.run(start())
"""
_RIGHTS_HANDED_ON = "from forewarn_client.assessing import assessors; assessors.hand_on_none = lambda: None"
CAP_NET_ADMIN = f"{1 << 12:016x}"


@pytest.mark.parametrize(("unprotected", "worker_has"), [("", f"{0:016x}"), (_RIGHTS_HANDED_ON, CAP_NET_ADMIN)])
def test_a_worker_has_no_capability_that_its_daemon_was_given(unprotected: str, worker_has: str) -> None:
    """With its positive control: by itself, it would have all of them."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a process a capability")
    given = ("--inh-caps=+net_admin", "--ambient-caps=+net_admin", "--bounding-set=-all,+net_admin")
    said = subprocess.check_output(  # noqa: S603 - ourselves
        ["setpriv", "--securebits=+noroot", *given, sys.executable, "-c", _WITH_RIGHTS.format(unprotected=unprotected)],  # noqa: S607 - util-linux
        text=True,
    )
    assert said.split() == [CAP_NET_ADMIN, worker_has]
