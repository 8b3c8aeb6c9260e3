"""What systemd hears, on a real datagram socket: from the real process, and from daemons on a virtual clock."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import DATABASE_FILE, Device
from forewarn_client.radio.loopback import Air
from forewarn_client.service_manager import ServiceManager
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import VirtualClock
from tests.client.test_cli import KEPT_CLOCK
from tests.client.test_daemon import Flaky, Near, timing

_PATIENCE_S = 20.0

# The real process with a radio that hangs at the second start, which is its speaker's; steps may take half a second.
_STUCK = """
import asyncio
from forewarn_client import pulse, running
from forewarn_client.radio.loopback import LoopbackRadio
pulse._LONGEST_STEP_S = 0.5
starts = []
async def start(self, start=LoopbackRadio.start):
    starts.append(None)
    if len(starts) > 1:
        await asyncio.Event().wait()
    return await start(self)
LoopbackRadio.start = start
"""
_BLOCKED = """
import time
from forewarn_client.keyring import Keyring
async def block(self, now):
    time.sleep(1000)
Keyring.next_identifier = block
"""


class Manager:
    """systemd's end: a bound socket, and the messages that came."""

    def __init__(self, bound: socket.socket, address: str) -> None:
        self._bound = bound
        self.address = address

    @classmethod
    @contextmanager
    def at(cls, address: str) -> Iterator["Manager"]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
            bound.bind("\0" + address[1:] if address.startswith("@") else address)
            bound.settimeout(_PATIENCE_S)
            yield cls(bound, address)

    def next(self) -> str:
        """Return the next message, or fail."""
        return self._bound.recv(65_536).decode()

    def until(self, start: str) -> list[str]:
        """Return the messages up to one that starts so."""
        heard = [self.next()]
        while not heard[-1].startswith(start):
            heard.append(self.next())
        return heard

    def all(self) -> list[str]:
        """Return what has come."""
        heard = []
        self._bound.settimeout(0)
        try:
            while True:
                heard.append(self.next())
        except BlockingIOError:
            return heard

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """Give a list that grows while the running loop runs: few messages wait in a socket."""
        messages: list[str] = []
        loop = asyncio.get_running_loop()
        loop.add_reader(self._bound, lambda: messages.append(self.next()))
        yield messages
        loop.remove_reader(self._bound)

    def is_silent_for(self, seconds: float, but: str = "") -> bool:
        self._bound.settimeout(seconds)
        try:
            assert self.next().startswith(but)
        except TimeoutError:
            return True
        return False


@contextmanager
def process(manager: Manager, data: Path, before: str = "", **environment: str) -> Iterator["subprocess.Popen[str]"]:
    code = f"{KEPT_CLOCK}\n{before}\nfrom forewarn_client.__main__ import main; main()"
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000", **environment}
    command = [sys.executable, "-c", code, "--data", str(data), "run"]
    with subprocess.Popen(command, env={**os.environ, **told}, stderr=subprocess.PIPE, text=True) as started:  # noqa: S603 - ours
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_process_says_ready_its_condition_signs_of_life_and_that_it_stops(
    tmp_path: Path, *, abstract: bool
) -> None:
    address = f"@forewarn-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with Manager.at(address) as manager, process(manager, tmp_path / "data") as daemon:
        before = manager.until("READY=1")
        assert all(message.startswith(("WATCHDOG=1", "EXTEND_TIMEOUT_USEC=")) for message in before[:-1])
        (status,) = [message for message in manager.until("STATUS=") if message.startswith("STATUS=")]
        assert status.removeprefix("STATUS=").strip()
        assert "\n" not in status
        for _ in range(3):
            assert manager.until("WATCHDOG=1")
        daemon.send_signal(signal.SIGTERM)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(_PATIENCE_S) == 0
        assert manager.until("STOPPING=1")
        assert manager.all() == []


def test_a_job_that_is_stuck_is_named_and_no_sign_of_life_follows(tmp_path: Path) -> None:
    """Positive control for the signs of life above."""
    with Manager.at(str(tmp_path / "notify")) as manager, process(manager, tmp_path / "data", _STUCK):
        assert manager.until("STATUS=stuck")[-1].endswith(("listen", "speak"))
        while not manager.is_silent_for(2.0, but="STATUS="):
            pass


def test_an_event_loop_that_is_stuck_gives_no_sign_of_life(tmp_path: Path) -> None:
    """Positive control, as above."""
    with Manager.at(str(tmp_path / "notify")) as manager, process(manager, tmp_path / "data", _BLOCKED):
        manager.until("READY=1")
        while not manager.is_silent_for(2.0):
            pass


def test_no_signs_of_life_are_given_that_another_process_owes(tmp_path: Path) -> None:
    with (
        Manager.at(str(tmp_path / "notify")) as manager,
        process(manager, tmp_path / "data", WATCHDOG_PID="1") as daemon,
    ):
        manager.until("STATUS=")
        daemon.send_signal(signal.SIGTERM)
        assert not [message for message in manager.until("STOPPING=1") if "WATCHDOG" in message]


@asynccontextmanager
async def told(daemon: Daemon, clock: VirtualClock) -> AsyncIterator[None]:
    task = asyncio.create_task(daemon.run())
    await clock.run_for(60)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def statuses(messages: list[str]) -> list[str]:
    return [message.removeprefix("STATUS=") for message in messages if message.startswith("STATUS=")]


async def test_a_fault_and_its_end_are_told_within_a_minute_and_nothing_is_told_twice(
    tmp_path: Path, clock: VirtualClock
) -> None:
    settings = ClientSettings(data=tmp_path / "data", language="en")
    radio = Flaky(Air(clock, Near()), "a", timing(1))
    with Manager.at(str(tmp_path / "notify")) as manager, manager.heard() as messages:
        async with told(Daemon(settings, clock, radio, timing(1), ServiceManager(manager.address)), clock):
            await clock.run_for(1800)
            assert 1 <= len(statuses(messages)) < 5
            radio.fault = Missing("the adapter is gone: plug it in")
            await clock.run_for(1260)
            assert "the adapter is gone: plug it in" in statuses(messages)[-1]
            radio.fault = None
            await clock.run_for(750)  # the tries meanwhile used up this hour's identifiers
            assert "the adapter" not in statuses(messages)[-1]
    assert all(before != after for before, after in pairwise(statuses(messages)))


async def test_a_long_mend_asks_for_more_time_before_it_is_ready(tmp_path: Path, clock: VirtualClock) -> None:
    settings = ClientSettings(data=tmp_path / "data")
    async with Device.open(settings, clock):
        pass
    (settings.data / DATABASE_FILE).write_bytes(b"no database at all" * 100)
    radio = Flaky(Air(clock, Near()), "a", timing(1))
    with Manager.at(str(tmp_path / "notify")) as manager, manager.heard() as messages:
        async with told(Daemon(settings, clock, radio, timing(1), ServiceManager(manager.address, 60)), clock):
            pass
    ready = messages.index("READY=1")
    more_time = [at for at, message in enumerate(messages) if message.startswith("EXTEND_TIMEOUT_USEC=")]
    assert more_time
    assert max(more_time) < ready, "once it works it needs no more"
    assert "WATCHDOG=1" in messages[ready:]


async def test_what_a_busy_manager_did_not_take_is_said_again(tmp_path: Path, clock: VirtualClock) -> None:
    settings = ClientSettings(data=tmp_path / "data")
    radio = Flaky(Air(clock, Near()), "a", timing(1))
    with Manager.at(str(tmp_path / "notify")) as manager:
        told_it = ServiceManager(manager.address)
        while told_it.tell(STATUS="busy"):
            pass
        async with told(Daemon(settings, clock, radio, timing(1), told_it), clock):
            assert {*manager.all()} == {"STATUS=busy"}
            with manager.heard() as messages:
                await clock.run_for(901)
    assert messages.count("READY=1") == 1
    assert len(statuses(messages)) == 1


def test_without_a_service_manager_nothing_listens() -> None:
    manager = ServiceManager.of_environment({"WATCHDOG_USEC": "1000000"})
    assert not manager.listens
    manager.tell(READY=1)


@pytest.mark.parametrize("microseconds", ["", "0", "never", "-5"])
def test_a_manager_that_wants_no_signs_of_life_gets_none(microseconds: str) -> None:
    assert ServiceManager.of_environment({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": microseconds}).watchdog_s is None


def test_a_manager_that_has_gone_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager(str(tmp_path / "nowhere")).tell(READY=1)
    assert "the service manager can't be told" in caplog.text


async def test_no_line_can_be_smuggled_into_a_message(tmp_path: Path) -> None:
    with Manager.at(str(tmp_path / "notify")) as manager:
        ServiceManager(manager.address).tell(STATUS="stuck\nMAINPID=1")
        assert manager.all() == ["STATUS=stuck MAINPID=1"]
