"""A fortnight of a real daemon under every fault at random: nothing is lost but what the faults themselves cost.

Each seed draws its own faults and encounters. The server is the real one over real HTTP, the diary real files on a
small disk of its own; time is virtual, radio and adapter are the faulty ones of tests/system/soak.

Outside the fault itself means: from a minute and a half after its end on (a back-off of at most a minute, half a minute
before the first window of a fresh start). Every stretch of an encounter beyond, longer than five minutes and a window,
must be in the diary, and the device must have been on the air in it.
"""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from forewarn_client import speaking, trust
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.radio import AdvertisingReport, Capabilities
from forewarn_client.radio.loopback import Transmission
from forewarn_client.timing import Timing
from forewarn_protocol.intervals import day_at
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import Server, scratch_folder
from tests.small_disk import SmallDisk
from tests.system.network import Network
from tests.system.soak import findings
from tests.system.soak.faults import DAY_S, LASTS_S, SERVER_AWAY, Fault, drawn
from tests.system.soak.fortnight import (
    Fortnight,
    Look,
    air_of,
    encounters,
    open_files,
    other_person,
    remember_the_weeks_before,
)
from tests.system.soak.surroundings import DeviceClock, FaultyRadio

EPOCH_S = 1_750_032_000.0
"""2025-06-16, midnight UTC."""
DAYS = 14
MOST_GROWTH_KB_A_DAY = 400.0
"""Of the whole process, server and test's notes included; a daemon that grows so doubles in half a year."""

pytestmark = pytest.mark.slow


@dataclass
class Told:
    """What a fortnight left behind: where the device may not have been deaf or mute, and what it did."""

    fortnight: Fortnight
    faults: list[Fault]
    encounters: int
    stretches: list[findings.Stretch]
    kept: list[float]

    @property
    def sent(self) -> list[Transmission]:
        return self.fortnight.air.sent

    @property
    def begun(self) -> list[float]:
        """When something was heard, and when something new was said."""
        return [*(at_s for at_s, _, _ in self.fortnight.bluetooth.heard), *(t.starts_s for t in self.sent)]

    @property
    def lost(self) -> list[findings.Stretch]:
        """The stretches that the diary lacks, and those in which the device said nothing."""
        return [*findings.unheard(self.stretches, self.kept), *findings.mute(self.stretches, self.sent)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let no fault of a fortnight be written down: a log of thousands of lines is memory too."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


async def lived(
    seed: int,
    days: float,
    kinds: list[str],
    *,
    make_daemon: Callable[..., Daemon] = Daemon,
    make_radio: type[FaultyRadio] = FaultyRadio,
) -> Told:
    """Live the days of a seed, and return what came of it."""
    world = VirtualClock(EPOCH_S)
    await world.run_for(0)
    met = encounters(Random(f"encounters {seed}"), EPOCH_S, days)
    air = air_of(world, met)
    async with surroundings(world) as (folder, server, network):
        with SmallDisk.made(folder / "disk", "8m") as disk:
            can_be_full = disk.is_mounted  # a limit of this process would hit the server too
            faults = drawn(Random(f"plan {seed}"), days, [k for k in kinds if can_be_full or k != "disk full"])
            known = {"server": network.url, "public_key": (server.feed_key,), "language": "en"}
            settings = ClientSettings(data=disk.folder / "data", **known)
            await remember_the_weeks_before(settings, world)
            fortnight = Fortnight(world, air, settings, network, disk, seed, make_daemon, make_radio)
            async with other_person(air, seed):
                await fortnight.live(faults, days)
            kept = await windows_in_the_diary(fortnight)
    excuses = findings.excused(faults)
    spans = [(m.starts_s - EPOCH_S, m.ends_s - EPOCH_S) for m in met]
    stretches = [part for span in spans for part in findings.outside(span, excuses)]
    return Told(fortnight, faults, len(met), stretches, kept)


@asynccontextmanager
async def surroundings(world: VirtualClock) -> AsyncIterator[tuple[Path, Server, Network]]:
    async with (
        scratch_folder() as folder,
        Server.start(world, folder / "server") as server,
        Network.to(server.url) as network,
    ):
        yield folder, server, network


async def windows_in_the_diary(fortnight: Fortnight) -> list[float]:
    """Return when (monotonic) the windows opened of which the diary holds what the radio heard."""
    async with Device.open(fortnight.settings, fortnight.world) as device:
        held = {
            (sighting.payload.service_data, round(sighting.time_s) // 10)
            for sighting in await device.diary.sightings(day_at(EPOCH_S - 20 * DAY_S))
        }
    return [
        opened_s
        for opened_s, unix_s, service_data in fortnight.bluetooth.heard
        if any((service_data, round(unix_s + after_s) // 10) in held for after_s in range(5))
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fortnight_of_every_fault_costs_nothing_but_what_the_faults_themselves_cost(
    seed: int, figure: Callable[[str], None]
) -> None:
    figure(alone(f"a_fortnight({seed})"))


def alone(life: str) -> str:
    """Live in a process of its own, and return what it says.

    In this one, memory would be that of all tests before, and of who counts their branches.
    """
    ran = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", f"import asyncio; from tests.system.test_soak import *; asyncio.run({life})"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout.strip()


async def a_fortnight(seed: int) -> None:
    """Live for a fortnight of every fault, say what was measured, and hold it to all that is promised."""
    tasks_before = {task.get_name() for task in asyncio.all_tasks()}
    told = await lived(seed, DAYS, [*LASTS_S, SERVER_AWAY])
    looks = told.fortnight.looks
    kinds = Counter(fault.kind for fault in told.faults)
    growth = findings.growth_kb_a_day(looks)
    struck = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    sys.stdout.write(
        f"soak, seed {seed}: {DAYS} days, {told.encounters} encounters, {len(told.stretches)} stretches "
        f"of them outside {len(told.faults)} faults ({struck}), {len(told.lost)} lost; {len(told.sent)} identifiers; "
        f"{len(looks[-1].tasks)} tasks; memory grows {growth:.0f} kB a day (bar {MOST_GROWTH_KB_A_DAY:.0f})"
    )
    assert kinds.keys() >= {*LASTS_S, SERVER_AWAY} - ({"disk full"} if not told.fortnight.disk.is_mounted else set())
    assert len(told.stretches) > 40
    assert told.lost == []
    assert findings.spoken_twice(told.sent) == findings.addresses_twice(told.sent) == 0
    assert findings.spoken_across(told.faults, told.sent) == []
    assert findings.worked_with_a_wrong_clock(told.faults, told.begun) == []
    assert findings.not_forgotten(looks, told.faults) == findings.forgotten_too_early(looks) == []
    assert findings.strays(looks) == []
    assert max(look.open_files for look in looks) <= looks[0].open_files + 4
    assert growth < MOST_GROWTH_KB_A_DAY
    assert {task.get_name() for task in asyncio.all_tasks()} == tasks_before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("diary")]
    data = str(told.fortnight.settings.data)
    assert not [path for path in open_files() if data in path]


RADIO_FAULTS = ["adapter gone", "rfkill", "bluetoothd restarted", "suspend that is told"]


async def test_a_daemon_that_waits_half_an_hour_after_a_fault_loses_encounters_and_is_found() -> None:
    """Positive control."""

    def sluggish(settings: ClientSettings, clock: DeviceClock, radio: FaultyRadio, timing: Timing) -> Daemon:
        return Daemon(settings, clock, radio, replace(timing, radio_back_off_s=(1800.0, 1800.0)))

    told = await lived(1, 4, RADIO_FAULTS, make_daemon=sluggish)
    assert findings.unheard(told.stretches, told.kept)
    assert findings.mute(told.stretches, told.sent)


class Resuming(FaultyRadio):
    """A radio that goes on with the old identifier when the power returns, as kernels do on legacy controllers."""

    old: Transmission | None = None

    def cut(self) -> None:
        self.old = self._on_air
        super().cut()

    async def start(self) -> Capabilities:
        capabilities = await super().start()
        if self.old is not None:
            now_s = self._clock.monotonic()
            self._on_air = replace(self.old, address=self._new_address(), starts_s=now_s, ends_s=float("inf"))
            self._air.begin(self._on_air)
            self.old = None
        return capabilities


async def test_a_radio_that_resumes_the_old_identifier_is_found() -> None:
    """Positive control."""
    told = await lived(1, 2, RADIO_FAULTS, make_radio=Resuming)
    assert findings.spoken_twice(told.sent)


async def test_a_daemon_that_does_not_notice_its_own_sleep_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: it speaks across a suspend of which nobody told the radio."""
    monkeypatch.setattr(speaking, "IS_SUSPEND_S", float("inf"))
    told = await lived(1, 3, ["suspend that nobody tells"])
    assert findings.spoken_across(told.faults, told.sent)


async def test_a_daemon_that_believes_any_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control."""
    monkeypatch.setattr(trust, "_doubt", lambda _: (None, 0.0))
    told = await lived(1, 2, ["large clock step"])
    assert findings.worked_with_a_wrong_clock(told.faults, told.begun)


class Hoarding(FaultyRadio):
    """A radio that keeps four kilobytes of each window, and a task of each start."""

    hoard: list[object] = []  # noqa: RUF012 - it is the leak

    async def scan(self, window_s: float) -> AsyncIterator[AdvertisingReport]:  # type: ignore[override]
        self.hoard.append(os.urandom(4096))
        async for report in super().scan(window_s):
            yield report

    async def start(self) -> Capabilities:
        self.hoard.append(asyncio.create_task(self._clock.sleep_until(float("inf")), name="forgotten"))
        return await super().start()


def test_a_leak_of_memory_or_tasks_is_found() -> None:
    """Positive control."""
    alone("a_leak()")


async def a_leak() -> None:
    """Live with a radio that hoards, which must be found."""
    told = await lived(1, 5, RADIO_FAULTS, make_radio=Hoarding)
    try:
        assert "forgotten" in findings.strays(told.fortnight.looks)
        assert findings.growth_kb_a_day(told.fortnight.looks) > MOST_GROWTH_KB_A_DAY
    finally:
        for kept in Hoarding.hoard:
            if isinstance(kept, asyncio.Task):
                kept.cancel()
        Hoarding.hoard.clear()


def look_at(monotonic_s: float, today: int, oldest_day: int) -> Look:
    return Look(monotonic_s, today, oldest_day, [], 0, 0)


def test_a_forgetting_that_comes_late_or_early_is_found() -> None:
    """Positive control: looks at a diary that keeps a day too long, and at one that lacks a day."""
    noon_s = DAY_S / 2
    late = [look_at(noon_s, today=100, oldest_day=85)]
    early = [look_at(noon_s, today=100, oldest_day=87)]
    assert findings.not_forgotten(late, [])
    assert not findings.not_forgotten(late, [Fault("kill", 0, noon_s)])
    assert findings.forgotten_too_early(early)
    right = [look_at(noon_s, today=100, oldest_day=86)]
    assert findings.not_forgotten(right, []) == findings.forgotten_too_early(right) == []
