"""SIGTERM before any step of any task, over a cycle in which every job does its work once and the identifier changes.

SIGTERM cancels the daemon's task (tests/client/test_cli.py holds the real process to exit code 0); here that comes
before a chosen step.
"""

import asyncio
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.diary.database import Database
from forewarn_client.radio.loopback import Air, LoopbackRadio, Transmission
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer
from tests.client.meetings import confirmed, key_of_day, meet, phone
from tests.client.stepping import counting
from tests.client.test_daemon import Near

CYCLE_S = 1300.0
"""Longer than the longest rotation."""


class LoggedAir(Air):
    """An air that keeps what the device sent, and whether its last word has ended."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, Near())
        self.sent: list[Transmission] = []

    def begin(self, transmission: Transmission) -> None:
        if transmission.sender == "self":
            self.sent.append(transmission)
        super().begin(transmission)


class Scene:
    """A device that has met somebody whose keys are published, beside somebody who speaks."""

    def __init__(self, settings: ClientSettings, clock: VirtualClock) -> None:
        self.settings = settings
        self.clock = clock
        self.air = LoggedAir(clock)
        self.starts = 0

    async def neighbour_speaks(self) -> None:
        other = LoopbackRadio(self.air, "other", Timing())
        await other.start()
        await other.advertise(Payload.from_service_data(bytes(20)))

    def daemon(self) -> tuple[Daemon, LoopbackRadio]:
        self.starts += 1
        timing = Timing(random=Random(self.starts), chaff_gap_mean_s=200.0)
        radio = LoopbackRadio(self.air, "self", timing)
        return Daemon(self.settings, self.clock, radio, timing), radio

    async def cycle(self, until_step: int | None = None) -> int:
        """Run the daemon until SIGTERM comes before a step, or for a cycle; return how many steps it made."""
        before = asyncio.all_tasks()
        with counting() as steps:
            daemon, radio = self.daemon()
            task = asyncio.create_task(daemon.run())
            steps.at, steps.act = until_step, task.cancel
            until_s = self.clock.monotonic() + CYCLE_S
            while not task.done() and self.clock.monotonic() < until_s:
                await self.clock.run_for(20)
            made = steps.made
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), f"step {until_step}: {task.exception()!r}"
        assert radio._on_air is None, f"step {until_step}: the radio still speaks"
        assert not radio._started, f"step {until_step}: the radio is still held"
        await self.clock.run_for(1)  # the server's ends of its connections close
        assert {other for other in asyncio.all_tasks() - before if "forewarn" in other.get_name()} == set()
        for thread in threading.enumerate():
            if thread.name.startswith("diary"):
                thread.join(timeout=5)  # its last work is done, and it ends by itself
                assert not thread.is_alive(), f"step {until_step}: the diary's thread goes on"
        assert files_open_in(self.settings.data) == [], f"step {until_step}: files are still open"
        return made

    async def starts_again(self) -> None:
        ready: list[None] = []
        daemon, _ = self.daemon()
        task = asyncio.create_task(daemon.run(lambda: ready.append(None)))
        await self.clock.run_for(5)
        assert ready
        assert self.air.sent[-1].ends_s > self.clock.monotonic()
        task.cancel()
        await asyncio.wait([task])


def files_open_in(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [path for path in found if path.startswith(str(folder))]


@pytest.fixture
async def prepared(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> ClientSettings:
    case = key_of_day(clock.utc() - 24 * 3600, 1)
    async with phone(server, tmp_path / "prepared", clock) as device:
        await meet(device, case, clock.utc() - 24 * 3600, 30)
        await meet(device, key_of_day(clock.utc() - 20 * 24 * 3600, 2), clock.utc() - 20 * 24 * 3600, 30)  # forgotten
        settings = device.settings
    server.put_export([confirmed(case)])
    return settings


async def sigterm_before(steps: list[int], prepared: ClientSettings, clock: VirtualClock, folder: Path) -> None:
    for step in steps:
        data = shutil.copytree(prepared.data, folder / f"step {step}")
        scene = Scene(prepared.model_copy(update={"data": data}), clock)
        await scene.neighbour_speaks()
        await scene.cycle(step)
        await scene.starts_again()
        said = [sent.advertisement for sent in scene.air.sent]
        assert len(said) == len(set(said)), f"step {step}: an identifier was spoken again"
        assert len({sent.address for sent in scene.air.sent}) == len(said)
        async with Device.open(scene.settings, clock) as device:
            assert await device.database.read(lambda c: c.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
        shutil.rmtree(data)


async def steps_of_a_cycle(prepared: ClientSettings, clock: VirtualClock, folder: Path) -> int:
    data = shutil.copytree(prepared.data, folder / "whole")
    scene = Scene(prepared.model_copy(update={"data": data}), clock)
    await scene.neighbour_speaks()
    made = await scene.cycle()
    assert len(scene.air.sent) >= 2, "the identifier changed"
    return made


async def test_a_sigterm_before_some_steps_of_a_cycle_leaves_nothing_open_and_the_next_start_works(
    prepared: ClientSettings, clock: VirtualClock, tmp_path: Path
) -> None:
    whole = await steps_of_a_cycle(prepared, clock, tmp_path)
    await sigterm_before([1, 2, 3, 5, 8, 13, 21, 34, 55, 89, whole // 2, whole - 3], prepared, clock, tmp_path)


@pytest.mark.slow
async def test_a_sigterm_before_any_step_of_a_cycle_leaves_nothing_open_and_the_next_start_works(
    prepared: ClientSettings, clock: VirtualClock, tmp_path: Path
) -> None:
    """Every step of the start, where one follows the other, then each of a stride that meets all jobs."""
    whole = await steps_of_a_cycle(prepared, clock, tmp_path)
    stride = max(1, whole // 90)
    await sigterm_before([*range(1, 60), *range(60 + whole % stride, whole, stride)], prepared, clock, tmp_path)


async def test_a_daemon_that_would_not_close_its_radio_or_diary_is_found(
    prepared: ClientSettings, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control."""

    async def leave_open(_: object) -> None:
        pass

    with monkeypatch.context() as switched:
        switched.setattr(LoopbackRadio, "close", leave_open)
        with pytest.raises(AssertionError, match="the radio"):
            await sigterm_before([300], prepared, clock, tmp_path)
    opened: list[Database] = []

    async def forget_to_close(database: Database) -> None:
        opened.append(database)

    with monkeypatch.context() as switched:
        switched.setattr(Database, "close", forget_to_close)
        with pytest.raises(AssertionError, match=r"the diary's thread goes on|files are still open"):
            await sigterm_before([301], prepared, clock, tmp_path)
    for database in opened:
        await database.close()
