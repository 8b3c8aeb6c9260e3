import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from forewarn_client.board import FAULT_PREFIX
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.radio import AdvertisingReport, Capabilities
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.status import ALERT_IS_ACTIVE, look
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadInput, Missing
from forewarn_protocol.identifiers import identifiers
from forewarn_protocol.intervals import interval_at
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer
from tests.client.meetings import confirmed, key_of_day, meet, phone

TODAY = date(2025, 6, 16)


class Near:
    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        return -55 if sender != receiver and monotonic_s >= 0 else None


class Flaky(LoopbackRadio):
    """A radio whose scans and advertisements raise what `fault` holds."""

    fault: Exception | None = None

    async def advertise(self, payload: Payload) -> None:
        if self.fault:
            raise self.fault
        await super().advertise(payload)

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        if self.fault:
            raise self.fault
        async for report in super().scan(window_s):
            yield report


def timing(seed: int) -> Timing:
    return Timing(random=Random(seed))


@asynccontextmanager
async def running(daemon: Daemon, clock: VirtualClock) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(daemon.run())
    await clock.run_for(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_devices_that_are_near_hear_each_others_keys(tmp_path: Path, clock: VirtualClock) -> None:
    air = Air(clock, Near())
    settings = [ClientSettings(data=tmp_path / name) for name in "ab"]
    daemons = [
        Daemon(one, clock, LoopbackRadio(air, one.data.name, timing(number)), timing(number))
        for number, one in enumerate(settings)
    ]
    async with running(daemons[0], clock), running(daemons[1], clock):
        await clock.run_for(3600)
    said, heard = [], []
    for one in settings:
        async with Device.open(one, clock) as device:
            heard.append({s.payload.rpi for s in await device.diary.sightings(TODAY)})
            (tek,) = await device.keyring.release(TODAY, interval_at(clock.utc()))
            said.append(set(identifiers(tek.key, tek.rolling_start, tek.rolling_period)))
    assert heard[0] <= said[1]
    assert heard[1] <= said[0]
    assert all(3 <= len(identifiers) <= 8 for identifiers in heard)


async def test_every_job_has_a_name_and_none_outlives_the_daemon(settings: ClientSettings, clock: VirtualClock) -> None:
    before = asyncio.all_tasks()
    daemon = Daemon(settings, clock, LoopbackRadio(Air(clock, Near()), "a", timing(1)), timing(1))
    async with running(daemon, clock) as task:
        jobs = asyncio.all_tasks() - before - {task}
        assert {job.get_name() for job in jobs} == {
            f"forewarn-client {name}"
            for name in (
                *("at work", "radio", "on the air", "waits", "speak", "listen"),
                *("fetch-and-match", "forget", "verify", "chaff", "daily"),
            )
        }
    assert asyncio.all_tasks() == before


async def test_ready_is_said_once_the_radio_has_started(settings: ClientSettings, clock: VirtualClock) -> None:
    said: list[str] = []
    radio = LoopbackRadio(Air(clock, Near()), "a", timing(1))
    task = asyncio.create_task(Daemon(settings, clock, radio, timing(1)).run(lambda: said.append(str(radio._started))))
    await clock.run_for(60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert said == ["True"]


async def faults_of(settings: ClientSettings, clock: VirtualClock) -> dict[str, object]:
    async with Device.open(settings, clock) as device:
        values = await device.status.read()
    return {name.removeprefix(FAULT_PREFIX): value for name, value in values.items() if name.startswith(FAULT_PREFIX)}


async def test_a_radio_fault_is_told_waited_out_and_forgotten_when_it_is_over(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    air = Air(clock, Near())
    radio, other = Flaky(air, "a", timing(1)), LoopbackRadio(air, "b", timing(2))
    await other.start()
    await other.advertise(Payload.from_service_data(bytes(20)))
    async with running(Daemon(settings, clock, radio, timing(1)), clock) as task:
        await clock.run_for(1800)
        before = radio._on_air
        radio.fault = Missing("the adapter is gone: plug it in")
        await clock.run_for(3600)
        faults = await faults_of(settings, clock)
        assert faults["speak"] == faults["listen"] == "the adapter is gone: plug it in"
        assert radio._on_air is None, "silent while the fault lasts"
        assert not task.done()
        radio.fault = None
        await clock.run_for(3600)
        assert not {"speak", "listen"} & set(await faults_of(settings, clock))
        after = radio._on_air
    assert before is not None
    assert after is not None
    assert after.advertisement != before.advertisement
    assert after.address != before.address


async def test_without_a_server_the_device_still_speaks_and_listens_and_says_what_is_missing(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    radio = LoopbackRadio(Air(clock, Near()), "a", timing(1))
    async with running(Daemon(settings, clock, radio, timing(1)), clock):
        await clock.run_for(6 * 3600)
        faults = await faults_of(settings, clock)
        assert set(faults) == {"fetch-and-match"}
        assert "--server" in str(faults["fetch-and-match"])
        assert radio._on_air is not None


async def test_faults_of_an_earlier_run_are_forgotten(settings: ClientSettings, clock: VirtualClock) -> None:
    async with Device.open(settings, clock) as device:
        await device.status.note(FAULT_PREFIX + "listen", "the adapter was gone")
    radio = LoopbackRadio(Air(clock, Near()), "a", timing(1))
    async with running(Daemon(settings, clock, radio, timing(1)), clock):
        await clock.run_for(0)
        assert await faults_of(settings, clock) == {}


async def test_the_waits_after_faults_of_the_network_grow_to_half_an_hour(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ClientSettings(data=tmp_path, server="http://127.0.0.1:9", public_key=())
    async with running(Daemon(settings, clock, LoopbackRadio(Air(clock, Near()), "a", timing(1)), timing(1)), clock):
        await clock.run_for(12 * 3600)
    waits = [int(wait) for wait in re.findall(r"fetch-and-match: .* within (\d+) s", caplog.text)]
    assert waits[:3] == [5, 10, 20]
    assert waits[-1] == max(waits) == 1800
    assert len(waits) < 50


async def test_the_waits_after_faults_of_the_radio_grow_to_a_minute(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    tries: list[float] = []

    class Deaf(LoopbackRadio):
        async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
            tries.append(clock.monotonic())
            if window_s > 0:
                raise Missing("the adapter hears nothing")
            yield AdvertisingReport(0, b"", 0, b"")

    radio = Deaf(Air(clock, Near()), "a", timing(1))
    async with running(Daemon(settings, clock, radio, timing(1)), clock):
        await clock.run_for(3 * 3600)
    # A listener that starts anew waits up to 30 s before its first window.
    waits = [after - before for before, after in pairwise(tries)]
    assert waits[0] <= 1 + 30
    assert 30 <= max(waits) <= 60 + 30
    assert 3 * 3600 / 90 < len(tries) < 3 * 3600 / 30


class Absent(LoopbackRadio):
    """A radio that is not there until it is plugged in."""

    plugged_in = False

    async def start(self) -> Capabilities:
        if not self.plugged_in:
            raise Missing("there is no Bluetooth adapter hci0: plug it in")
        return await super().start()


async def test_a_daemon_without_its_adapter_comes_up_says_so_warns_and_speaks_within_a_minute_of_its_coming(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    case = key_of_day(clock.utc() - 24 * 3600, 1)
    async with phone(server, tmp_path, clock) as device:
        await meet(device, case, clock.utc() - 24 * 3600, 30)
        settings = device.settings
    server.put_export([confirmed(case)])
    radio, said = Absent(Air(clock, Near()), "a", timing(1)), list[float]()
    task = asyncio.create_task(Daemon(settings, clock, radio, timing(1)).run(lambda: said.append(clock.monotonic())))
    await clock.run_for(3600)
    assert said == [0]
    faults = await faults_of(settings, clock)
    assert faults == dict.fromkeys(("speak", "listen"), "there is no Bluetooth adapter hci0: plug it in")
    async with Device.open(settings, clock) as device:
        assert (await look(device)).check == ALERT_IS_ACTIVE
    assert radio._on_air is None
    radio.plugged_in = True
    await clock.run_for(61)
    assert radio._on_air is not None
    await clock.run_for(30 + 4)  # the first scan window
    assert await faults_of(settings, clock) == {}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_radio_that_was_away_for_hours_speaks_within_a_minute_of_its_return(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    """No identifier is used up by the tries meanwhile: else the device would wait for the next ten minutes."""

    class Away(LoopbackRadio):
        away = False
        spoken: ClassVar[list[float]] = []

        async def start(self) -> Capabilities:
            if self.away:
                raise Missing("the adapter is gone: plug it in")
            return await super().start()

        async def stay_on_air(self, until_s: float) -> None:
            while not self.away and clock.monotonic() < until_s:
                await clock.sleep_until(clock.monotonic() + 5)
            if self.away:
                raise Missing("the adapter is gone: plug it in")

        async def advertise(self, payload: Payload) -> None:
            await super().advertise(payload)
            self.spoken.append(clock.monotonic())

    radio = Away(Air(clock, Near()), "a", timing(1))
    async with running(Daemon(settings, clock, radio, timing(1)), clock):
        await clock.run_for(30)
        radio.away = True
        await clock.run_for(3 * 3600)
        assert len(radio.spoken) == 1
        radio.away = False
        returned_s = clock.monotonic()
        await clock.run_for(61)
        assert radio.spoken[1:], "silent after the radio's return"
        assert radio.spoken[1] - returned_s <= 60


async def test_a_fault_that_burns_identifiers_stays_told_through_the_silence_that_follows(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    radio = Flaky(Air(clock, Near()), "a", timing(1))
    radio.fault = Missing("the adapter is gone: plug it in")
    async with running(Daemon(settings, clock, radio, timing(1)), clock):
        for _ in range(40):
            await clock.run_for(90)
            assert (await faults_of(settings, clock))["speak"] == "the adapter is gone: plug it in"


async def test_a_programming_error_ends_the_daemon_and_closes_the_radio(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    radio = Flaky(Air(clock, Near()), "a", timing(1))
    before = asyncio.all_tasks()
    task = asyncio.create_task(Daemon(settings, clock, radio, timing(1)).run())
    await clock.run_for(60)
    radio.fault = ZeroDivisionError()
    await clock.run_for(1800)
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(ZeroDivisionError)
    assert radio._on_air is None
    assert asyncio.all_tasks() == before


async def test_a_second_daemon_on_one_diary_is_refused(settings: ClientSettings, clock: VirtualClock) -> None:
    air = Air(clock, Near())
    async with running(Daemon(settings, clock, LoopbackRadio(air, "a", timing(1)), timing(1)), clock) as first:
        with pytest.raises(BadInput, match="another daemon works on"):
            await Daemon(settings, clock, LoopbackRadio(air, "b", timing(2)), timing(2)).run()
        assert not first.done()
    async with running(Daemon(settings, clock, LoopbackRadio(air, "b", timing(2)), timing(2)), clock) as next_one:
        assert not next_one.done()


@pytest.mark.parametrize("seed", range(4))
async def test_a_daemon_that_is_cancelled_anywhere_leaves_a_whole_diary(
    settings: ClientSettings, clock: VirtualClock, seed: int
) -> None:
    """Restarted and cancelled in any turn of the loop: nothing torn, nothing spoken twice."""
    random = Random(seed)
    log: list[tuple[bytes, bytes]] = []

    class Logged(Air):
        def begin(self, transmission: object) -> None:
            super().begin(transmission)  # type: ignore[arg-type]  # the loopback radio's own
            log.append((transmission.advertisement, transmission.address))  # type: ignore[attr-defined]  # as above

    air = Logged(clock, Near())
    other = LoopbackRadio(air, "b", timing(99))
    await other.start()
    await other.advertise(Payload.from_service_data(bytes(20)))
    log.clear()
    before = asyncio.all_tasks()
    for run in range(12):
        radio = LoopbackRadio(air, "a", timing(100 * seed + run))
        task = asyncio.create_task(Daemon(settings, clock, radio, timing(100 * seed + run)).run())
        # Time goes on by itself here, and the daemon stops in the middle of whatever it does then.
        until_s = clock.monotonic() + random.choice([0, 1, 60, 300, 1500])
        turns = random.randrange(60)
        while clock.monotonic() < until_s or turns > 0:
            await asyncio.sleep(0)
            turns -= clock.monotonic() >= until_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert radio._on_air is None
        assert asyncio.all_tasks() == before
        async with Device.open(settings, clock) as device:
            assert await device.database.read(lambda c: c.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
            await device.diary.sightings(date(2025, 1, 1))
    said = [advertisement for advertisement, _ in log]
    assert len(said) == len(set(said)) > 2
    assert len({address for _, address in log}) == len(said)


@pytest.mark.parametrize(
    "module", ["forewarn_client.daemon", "forewarn_client.device", "forewarn_client.radio.choosing"]
)
def test_the_daemon_stays_small(module: str) -> None:
    """What a Raspberry Pi would carry for nothing is not imported; `json` proves that the list is real."""
    heavy = [
        "numpy",
        "numba",
        "matplotlib",
        "rich",
        "structlog",
        "sqlalchemy",
        "alembic",
        "babel",
        "jinja2",
        "typer",
        "bumble",
    ]
    code = f"import sys, {module}; print(*[name for name in {[*heavy, 'json']} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert found.stdout.split() == ["json"]
