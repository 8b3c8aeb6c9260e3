import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from forewarn_client import cli, pausing, starting_over
from forewarn_client.board import FAULT_PREFIX, PAUSED_UNTIL
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import DEVICE_KEY_FILE, Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.erasing import ERASURE_MARK
from forewarn_client.pause_command import seconds_of
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.presence import LOCK_FILE, nudge, only_daemon
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.status import CANNOT_KNOW, Status, look
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.command_line import run
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.test_cli import KEPT_CLOCK


class Alone:
    def rssi_dbm(self, _sender: str, _receiver: str, _monotonic_s: float) -> int | None:
        return None


class Recorder(LoopbackRadio):
    """A radio that keeps when it scanned and what it said."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(Air(clock, Alone()), "self", Timing(random=Random(5)))
        self.said: list[bytes] = []
        self.scans = 0

    async def advertise(self, payload: object) -> None:
        await super().advertise(payload)  # type: ignore[arg-type]  # the loopback radio's own
        assert self._on_air
        self.said.append(self._on_air.advertisement)

    def scan(self, window_s: float) -> object:  # type: ignore[override]  # counted on the way
        self.scans += 1
        return super().scan(window_s)

    @property
    def speaks(self) -> bool:
        return self._on_air is not None


@asynccontextmanager
async def at_work(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[tuple[Daemon, Recorder]]:
    radio = Recorder(clock)
    daemon = Daemon(settings, clock, radio, Timing(random=Random(5)))
    task = asyncio.create_task(daemon.run())
    await clock.run_for(600)
    try:
        yield daemon, radio
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(settings: ClientSettings, clock: VirtualClock) -> Status:
    async with Device.open(settings, clock) as device:
        return await look(device)


async def wish(settings: ClientSettings, clock: VirtualClock, daemon: Daemon, until_s: float | None) -> None:
    """Pause, or go on with None; the daemon is in this process, so the signal is left out."""
    async with Device.open(settings, clock) as device:
        await (pausing.resume(device) if until_s is None else pausing.pause(device, until_s))
    daemon.look_again()
    # No virtual second passes meanwhile: whatever the daemon does now, it does at once.
    while (await told(settings, clock)).silent is (until_s is None):  # noqa: ASYNC110 - nothing of the daemon's to wait on
        await asyncio.sleep(0)


async def test_a_pause_is_kept_at_once_and_after_it_speaks_a_new_identifier(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    async with at_work(settings, clock) as (daemon, radio):
        assert radio.speaks
        before = len(radio.said)
        await wish(settings, clock, daemon, UNTIL_RESUMED)
        assert not radio.speaks
        scans = radio.scans
        await clock.run_for(6 * 3600)
        assert (radio.scans, len(radio.said), radio.speaks) == (scans, before, False)
        status = await told(settings, clock)
        assert status.silent
        assert status.check == CANNOT_KNOW
        assert "paused, nothing is spoken or recorded: 'resume' ends it" in status.check_text
        await wish(settings, clock, daemon, None)
        await clock.run_for(600)
        assert radio.speaks
        assert radio.scans > scans
        assert len(set(radio.said)) == len(radio.said) > before
        assert not (await told(settings, clock)).silent


async def test_what_warns_the_person_goes_on_in_a_pause(settings: ClientSettings, clock: VirtualClock) -> None:
    async with at_work(settings, clock) as (daemon, _):
        await wish(settings, clock, daemon, UNTIL_RESUMED)
        async with Device.open(settings, clock) as device:
            await device.status.note(FAULT_PREFIX + "fetch-and-match", None)
        await clock.run_for(3600)
        # There is no server here, and the job that asks for one says so.
        assert "fetch-and-match" in (await told(settings, clock)).faults


async def test_a_pause_ends_by_itself_when_its_time_is_over(settings: ClientSettings, clock: VirtualClock) -> None:
    async with at_work(settings, clock) as (daemon, radio):
        await wish(settings, clock, daemon, clock.utc() + 3600)
        await clock.run_for(3500)
        assert not radio.speaks
        assert (await told(settings, clock)).as_json()["paused_until"] == "2025-06-16T13:10:00Z"
        await clock.run_for(160)
        assert radio.speaks


async def test_a_daemon_that_is_started_in_a_pause_says_nothing(settings: ClientSettings, clock: VirtualClock) -> None:
    async with Device.open(settings, clock) as device:
        await pausing.pause(device, UNTIL_RESUMED)
    async with at_work(settings, clock) as (_, radio):
        assert radio.said == []
        assert radio.scans == 0
    async with Device.open(settings, clock) as device:
        await pausing.resume(device)
    async with at_work(settings, clock) as (_, radio):
        assert len(radio.said) == 1


async def test_a_nudge_at_any_turn_of_the_loop_is_not_lost(settings: ClientSettings, clock: VirtualClock) -> None:
    async with at_work(settings, clock) as (daemon, radio), Device.open(settings, clock) as device:
        for turns in range(0, 30, 3):
            await device.status.note(PAUSED_UNTIL, True)  # noqa: FBT003 - a JSON value
            daemon.look_again()
            for _ in range(turns):
                await asyncio.sleep(0)
            await device.status.note(PAUSED_UNTIL, None)
            daemon.look_again()
            await clock.run_for(1200)
            assert radio.speaks
    assert len(set(radio.said)) == len(radio.said)


@pytest.mark.parametrize(
    ("value", "until_s"),
    [(None, None), (True, UNTIL_RESUMED), (NOON_S + 1, NOON_S + 1), (NOON_S, None), (False, None), ("x", None)],
)
def test_what_the_board_holds_is_a_pause_only_while_it_lasts(value: object, until_s: float | None) -> None:
    assert pausing.pause_of(value, NOON_S) == until_s  # type: ignore[arg-type]  # damaged values, too


def test_a_status_tells_a_pause_that_is_not_heeded_yet_from_one_that_is() -> None:
    paused = {"now_s": NOON_S, "paused_until_s": NOON_S + 60}
    assert "about to fall silent" in Status(running=True, **paused).as_text()  # type: ignore[arg-type]
    assert "nothing is spoken" in Status(running=False, **paused).as_text()  # type: ignore[arg-type]
    assert "paused until 2025-06-16T12:01:00Z" in Status(running=True, silent=True, **paused).as_text()  # type: ignore[arg-type]


@pytest.mark.parametrize(("span", "seconds"), [("30m", 1800), ("1h", 3600), ("2d", 172_800), (None, UNTIL_RESUMED)])
def test_a_span_is_read(span: str | None, seconds: float) -> None:
    assert seconds_of(span) == seconds


@pytest.mark.parametrize("span", ["", "0h", "1", "h", "1w", "31d", "999999h", "-1h", "1h30m", "²h"])
def test_what_is_no_span_is_refused(span: str) -> None:
    with pytest.raises(BadInput, match="30m, 1h or 2d"):
        seconds_of(span)


def test_a_nudge_reaches_nobody_where_nobody_works(tmp_path: Path) -> None:
    nudge(tmp_path)
    with only_daemon(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(b"nonsense")
        nudge(tmp_path)
    assert (tmp_path / LOCK_FILE).read_bytes() == b""


def test_the_commands_reach_a_running_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real process, a real signal: paused, told, resumed."""

    def call(*arguments: str) -> int:
        return run(cli.app, "forewarn-client", ["--data", str(tmp_path), *arguments])

    def shown(*arguments: str) -> str:
        call(*arguments)
        return capsys.readouterr().out

    assert call("pause") == 3  # there is no diary yet
    code = KEPT_CLOCK + "from forewarn_client.__main__ import main; main()"
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", code, "--data", tmp_path, "run"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            assert call("pause", "--for", "1h") == 0
            while '"silent": true' not in shown("status", "--json"):
                assert process.poll() is None
            assert call("resume") == 0
            while '"silent": true' in shown("status", "--json"):
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


async def erased(settings: ClientSettings, clock: VirtualClock, daemon: Daemon, *, then_paused: bool) -> None:
    starting_over.ask(settings.data, then_paused=then_paused)
    daemon.look_again()
    while starting_over.is_asked(settings.data):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    await clock.run_for(600)


async def test_an_erasure_that_is_asked_for_is_done_by_the_daemon_which_begins_anew(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    async with at_work(settings, clock) as (daemon, radio):
        async with Device.open(settings, clock) as device:
            await device.diary.record(ScanWindow(NOON_S, None, {bytes(20): [(0, -50)]}))
        key = (settings.data / DEVICE_KEY_FILE).read_bytes()
        await erased(settings, clock, daemon, then_paused=False)
        assert not starting_over.is_asked(settings.data)
        assert (settings.data / DEVICE_KEY_FILE).read_bytes() != key
        assert (await told(settings, clock)).encounters == {}
        assert (await told(settings, clock)).running
        assert radio.speaks


async def test_a_diary_may_begin_anew_with_a_pause(settings: ClientSettings, clock: VirtualClock) -> None:
    async with at_work(settings, clock) as (daemon, radio):
        await erased(settings, clock, daemon, then_paused=True)
        assert not starting_over.is_asked(settings.data)
        assert not radio.speaks
        assert (await told(settings, clock)).paused_until_s == UNTIL_RESUMED


async def test_a_daemon_ends_at_whichever_turn_of_an_erasure_it_is_told_to(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    """A cancellation that comes with the error of another task is easily lost."""
    for turns in range(0, 60, 6):
        daemon = Daemon(settings, clock, Recorder(clock), Timing(random=Random(5)))
        task = asyncio.create_task(daemon.run())
        await clock.run_for(60)
        starting_over.ask(settings.data, then_paused=False)
        daemon.look_again()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


@pytest.mark.parametrize("is_begun", [False, True])
async def test_an_erasure_that_was_cut_off_goes_on_at_the_next_start(
    settings: ClientSettings, clock: VirtualClock, *, is_begun: bool
) -> None:
    async with Device.open(settings, clock) as device:
        await device.diary.record(ScanWindow(NOON_S, None, {bytes(20): [(0, -50)]}))
    starting_over.ask(settings.data, then_paused=True)
    if is_begun:
        (settings.data / DEVICE_KEY_FILE).unlink()
    async with at_work(settings, clock) as (_, radio):
        assert not (settings.data / ERASURE_MARK).exists()
        assert radio.said == []
        assert (await told(settings, clock)).encounters == {}


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Missing, match="cannot be written"):
        starting_over.ask(tmp_path / "file", then_paused=False)
