"""A device's fortnight: a real daemon under one fault after the other, beside a person who comes and goes."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import DATABASE_FILE, Device
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.radio.loopback import LoopbackRadio
from forewarn_client.speaking import payload_of
from forewarn_client.timing import Timing
from forewarn_protocol.intervals import INTERVAL_S, interval_at, midnight
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_shell.clock import Keeper
from forewarn_simulations.clocks import VirtualClock
from tests.client.meetings import meet
from tests.small_disk import SmallDisk
from tests.system.meetings import Meeting, Meetings
from tests.system.network import Network
from tests.system.soak.faults import DAY_S, HOUR_S, SERVER_AWAY, Fault
from tests.system.soak.surroundings import Bluetooth, DeviceClock, FaultyRadio, RecordingAir

_DAILY = ("day_keys", *DAILY_TABLES)
OURS, OTHER = "an", "binh"
MakeDaemon = Callable[[ClientSettings, DeviceClock, FaultyRadio, Timing], Daemon]


def open_files() -> list[str]:
    """Return what this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder itself, while it was read
            found.append(str(link.readlink()))
    return found


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def oldest_days(connection: sqlite3.Connection) -> list[int]:
    """Return the oldest day of each table that has any, counted from 1970."""
    oldest = (connection.execute(f"SELECT min(day) FROM {table}").fetchone()[0] for table in _DAILY)  # noqa: S608 - ours
    return [day for day in oldest if day is not None]


@dataclass
class Look:
    """What the process and the diary held at one noon; `oldest_day` counts from 1970."""

    monotonic_s: float
    today: int
    oldest_day: int
    tasks: list[str]
    open_files: int
    resident_kb: int


def encounters(random: Random, epoch_s: float, days: float) -> list[Meeting]:
    """Draw about eight encounters a day, of 6 minutes to 2 hours."""
    met = []
    starts_s = epoch_s + random.uniform(0, 3 * HOUR_S)
    while (ends_s := starts_s + 360 * 20 ** random.random()) < epoch_s + days * DAY_S - HOUR_S:
        met.append(Meeting(OURS, OTHER, starts_s, ends_s))
        starts_s = ends_s + random.uniform(600, 4 * HOUR_S)
    return met


def others_key(day_number: int) -> TemporaryExposureKey:
    return TemporaryExposureKey(
        hashlib.sha256(b"binh %d" % day_number).digest()[:16], midnight(interval_at(day_number * DAY_S))
    )


@dataclass
class Fortnight:
    """The device, its surroundings, and what was seen of both."""

    world: VirtualClock
    air: RecordingAir
    settings: ClientSettings
    network: Network
    disk: SmallDisk
    seed: int
    make_daemon: MakeDaemon = Daemon
    make_radio: type[FaultyRadio] = FaultyRadio
    bluetooth: Bluetooth = field(default_factory=Bluetooth)
    looks: list[Look] = field(default_factory=list)
    starts: int = 0

    def __post_init__(self) -> None:
        self.clock = DeviceClock(self.world)
        self._daemon: asyncio.Task[None] | None = None
        self._random = Random(f"faults {self.seed}")

    async def live(self, faults: list[Fault], days: float) -> None:
        """Let the days pass, with these faults; look at noon of each."""
        steps = [(fault.begins_s, 1, self._begin, fault) for fault in faults]
        steps += [(fault.ends_s, 0, self._end, fault) for fault in faults]
        noons = [(day + 0.5) * DAY_S for day in range(int(days))]
        looks = [(noon_s, 2, self._look, Fault("", noon_s, noon_s)) for noon_s in noons]
        self.switch_on()
        for at_s, _, act, fault in sorted([*steps, *looks], key=lambda step: step[:2]):
            await self.world.run_until(at_s)
            self._demand_alive()
            await act(fault)
        await self.world.run_until(days * DAY_S)
        self._demand_alive()
        await self.switch_off()

    def switch_on(self) -> None:
        self.starts += 1
        timing = Timing(random=Random(f"timing {self.seed} {self.starts}"))
        self.radio = self.make_radio(self.air, OURS, timing, self.clock, self.bluetooth)
        daemon = self.make_daemon(self.settings, self.clock, self.radio, timing)
        self._daemon = asyncio.create_task(daemon.run(), name="daemon")

    async def switch_off(self) -> None:
        """Do what SIGTERM does."""
        if self._daemon is not None:
            self._daemon.cancel()
            await asyncio.wait([self._daemon])
            assert self._daemon.cancelled(), self._daemon.exception()
            self._daemon = None

    async def _kill(self) -> None:
        """Leave on the disk what was there at this moment, and nothing of what the end would have written."""
        at_death = self.settings.data.parents[1] / "at death"  # the small disk has no room for it
        shutil.copytree(self.settings.data, at_death)
        self.radio.cut()
        await self.switch_off()
        shutil.rmtree(self.settings.data)
        shutil.copytree(at_death, self.settings.data)
        shutil.rmtree(at_death)

    async def _begin(self, fault: Fault) -> None:
        lasts_s = fault.ends_s - fault.begins_s
        match fault.kind:
            case "adapter missing at start":
                self.bluetooth.gone = True
                await self.switch_off()
                self.switch_on()
            case "SIGTERM":
                await self.switch_off()
            case "kill":
                await self._kill()
            case "disk full":
                self.disk.fill()
            case "server away":
                self.network.connected = False
            case "small clock step" | "large clock step":
                self._set_clock_wrong(fault.kind)
            case _:
                self._strike_radio(fault.kind, lasts_s)

    def _set_clock_wrong(self, kind: str) -> None:
        direction = self._random.choice([-1, 1])
        if kind == "small clock step":
            self.clock.error_s = direction * self._random.uniform(1, 1800)
        else:
            self.clock.error_s = direction * self._random.uniform(3 * HOUR_S, 20 * DAY_S)
            self.clock.keeper = self._random.choice([Keeper.NOBODY, Keeper.TIME_SERVICE])

    def _strike_radio(self, kind: str, lasts_s: float) -> None:
        self.bluetooth.refuses = kind == "registration refused"
        self.bluetooth.is_scanned = kind == "another scanner"
        if kind in {"adapter gone", "rfkill", "bluetoothd restarted"}:
            self.bluetooth.gone = True
            self.radio.lose()
        if kind == "suspend that is told":
            self.radio.lose()
        if kind.startswith("suspend"):
            self.clock.suspend(lasts_s)

    async def _end(self, fault: Fault) -> None:
        if fault.kind in {"SIGTERM", "kill"}:
            self.switch_on()
        elif fault.kind == "disk full":
            self.disk.free()
        elif fault.kind == SERVER_AWAY:
            self.network.connected = True
        else:
            self.bluetooth.gone = self.bluetooth.refuses = self.bluetooth.is_scanned = False
            self.clock.error_s, self.clock.keeper = 0.0, Keeper.TIME_SERVICE

    async def _look(self, _: Fault) -> None:
        self.network.traffic.clear()
        self.network.connections.clear()
        with closing(sqlite3.connect(self.settings.data / DATABASE_FILE)) as connection:
            days = oldest_days(connection)
        self.looks.append(
            Look(
                self.world.monotonic(),
                int(self.world.utc() // DAY_S),
                min(days),
                sorted(task.get_name() for task in asyncio.all_tasks()),
                len(open_files()),
                resident_kb(),
            )
        )

    def _demand_alive(self) -> None:
        if self._daemon is not None and self._daemon.done():
            self._daemon.result()


@asynccontextmanager
async def other_person(air: RecordingAir, seed: int) -> AsyncIterator[None]:
    """Let the other person's phone speak a new identifier every ten minutes."""
    radio = LoopbackRadio(air, OTHER, Timing(random=Random(f"other {seed}")))
    metadata = Metadata(-20, Confidence.HIGH)

    async def speak() -> None:
        await radio.start()
        while True:
            now_s = air.clock.utc()
            key = others_key(int(now_s // DAY_S))
            await radio.advertise(payload_of(key, interval_at(now_s), metadata))
            await air.clock.sleep_until(air.clock.monotonic() + INTERVAL_S - now_s % INTERVAL_S)

    task = asyncio.create_task(speak(), name="the other person")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def remember_the_weeks_before(settings: ClientSettings, clock: VirtualClock) -> None:
    """Let the diary hold somebody who was met on each of the fourteen days before."""
    async with Device.open(settings, clock) as device:
        for days in range(1, 15):
            then_s = clock.utc() - days * DAY_S
            await meet(device, others_key(int(then_s // DAY_S)), then_s + 8 * HOUR_S, 20)


def air_of(world: VirtualClock, met: list[Meeting]) -> RecordingAir:
    return RecordingAir(world, Meetings(world, met), OURS)
