"""Every fault of a device's disk and files, each really made: what the person sees, what is lost, how it goes on."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from random import Random

import pytest

from forewarn_client import cli, forgetting, mending
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, RESERVE_FILE, Device
from forewarn_client.diary.database import Damaged, DiskFull
from forewarn_client.diary.vault import Forgotten
from forewarn_client.forgetting import forget
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.status import CANNOT_KNOW, Status, look
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing
from forewarn_protocol.intervals import interval_at
from forewarn_shell import command_line
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.meetings import key_of_day, meet
from tests.small_disk import SmallDisk

HOUR_S, DAY_S = 3600, 86_400
TODAY = date(2025, 6, 16)


class Beside:
    """A neighbour who is always near."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        return -55 if (sender, receiver) == ("neighbour", "self") and monotonic_s >= 0 else None


@asynccontextmanager
async def at_work(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[LoopbackRadio]:
    """Let a daemon work beside a neighbour; nothing that it says is ever said twice."""
    said: list[bytes] = []

    class Listening(Air):
        def begin(self, transmission: object) -> None:
            said.append(transmission.advertisement)  # type: ignore[attr-defined]  # the loopback radio's own
            super().begin(transmission)  # type: ignore[arg-type]  # as above

    air, timing = Listening(clock, Beside()), Timing(random=Random(5))
    neighbour, radio = LoopbackRadio(air, "neighbour", timing), LoopbackRadio(air, "self", timing)
    await neighbour.start()
    await neighbour.advertise(Payload.from_service_data(bytes(20)))
    task = asyncio.create_task(Daemon(settings, clock, radio, timing).run())
    await clock.run_for(0)
    try:
        yield radio
    finally:
        if task.done():
            await task  # what ended it is what is wrong
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(said) == len(set(said))


async def status_of(settings: ClientSettings, clock: VirtualClock) -> Status:
    async with Device.open(settings, clock) as device:
        return await look(device)


# A full disk.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk.made(tmp_path / "disk") as made:
        yield made


async def test_a_full_disk_is_said_silences_the_device_and_loses_nothing_and_space_wakes_it(
    disk: SmallDisk, clock: VirtualClock
) -> None:
    settings = ClientSettings(data=disk.folder / "data")
    async with at_work(settings, clock) as radio:
        await clock.run_for(HOUR_S)
        before = await status_of(settings, clock)
        assert sum(before.encounters.values()) > 0
        disk.fill()
        await clock.run_for(2 * HOUR_S)
        assert radio._on_air is None, "an identifier that is not on the disk must not be on the air"
        told = await status_of(settings, clock)
        assert "full, nothing new is spoken, recorded or matched: free some space" in told.as_text()
        assert (told.check, told.encounters) == (CANNOT_KNOW, before.encounters)
        assert "the disk is full" in told.check_text
        disk.free()
        await clock.run_for(HOUR_S)
        assert radio._on_air is not None
        told = await status_of(settings, clock)
        assert not told.disk_is_full
        assert set(told.faults) == {"fetch-and-match"}
        assert told.last_scan_s is not None
        assert before.last_scan_s is not None
        assert told.last_scan_s > before.last_scan_s


async def old_days(device: Device) -> None:
    """Record two days of which one is to be forgotten, and the keys of a long time."""
    for days in (20, 1):
        await meet(device, key_of_day(NOON_S - days * DAY_S, days), NOON_S - days * DAY_S, 30)


@pytest.mark.parametrize("held", [True, False])
async def test_forgetting_destroys_the_keys_of_a_day_on_a_disk_that_is_full_to_the_last_byte(
    disk: SmallDisk, clock: VirtualClock, *, held: bool
) -> None:
    """Without the reserve that the device holds, nothing can be written, and so nothing destroyed: the control."""
    async with Device.open(ClientSettings(data=disk.folder / "data"), clock) as device:
        await forget(device)  # the daemon's first round takes the reserve
        await old_days(device)
        await device.database.empty_log()
        if not held:
            (device.settings.data / RESERVE_FILE).unlink()
        disk.fill()
        day = date(2025, 5, 27)
        wrapped = await device.database.read(lambda c: c.execute("SELECT min(wrapped) FROM day_keys").fetchone()[0])
        assert wrapped
        try:
            await forget(device)
        except (DiskFull, Missing):
            assert not held or forgetting.RESERVE_BYTES < 2**20  # the rest may wait; the keys may not
        if held:
            with pytest.raises(Forgotten):
                await device.database.read(device.vault.day, day)
            assert await device.database.read(device.vault.day, date(2025, 6, 15))
        else:
            assert await device.database.read(device.vault.day, day)
        disk.free()
        assert await forget(device)
        with pytest.raises(Forgotten):
            await device.database.read(device.vault.day, day)
        assert (device.settings.data / RESERVE_FILE).stat().st_size == forgetting.RESERVE_BYTES


# Damaged files.


def flip_pages(path: Path) -> None:
    """Turn the bits of some pages in the middle."""
    with path.open("r+b") as file:
        pages = path.stat().st_size // 4096
        for page in range(pages // 3, 2 * pages // 3, 3):
            file.seek(4096 * page)
            file.write(os.urandom(4096))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 3 // 4)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def other(path: Path) -> None:
    path.write_text("Dear diary, this file holds a text and nothing else.\n" * 200)


def half_a_log(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    os.truncate(log, log.stat().st_size // 2)


def half_a_key(path: Path) -> None:
    os.truncate(path.with_name(DEVICE_KEY_FILE), 16)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a device that was killed after a fortnight: its log is not yet in its file."""
    folder = tmp_path_factory.mktemp("used")

    async def live() -> None:
        clock = VirtualClock(NOON_S)
        await clock.run_for(0)
        async with Device.open(ClientSettings(data=folder / "running"), clock) as device:
            for days in range(13, 0, -1):
                await meet(device, key_of_day(NOON_S - days * DAY_S, days), NOON_S - days * DAY_S, 240)
                await device.keyring.next_identifier(interval_at(NOON_S - days * DAY_S))
            await device.database.empty_log()
            await meet(device, key_of_day(NOON_S, 0), NOON_S, 240)
            await device.keyring.next_identifier(interval_at(NOON_S))
            shutil.copytree(folder / "running", folder / "killed")

    asyncio.run(live())
    return folder / "killed"


@pytest.fixture
def data(used: Path, tmp_path: Path) -> Path:
    return shutil.copytree(used, tmp_path / "data")


Harm = Callable[[Path], None]
# What was done to the diary; whether it can't be used as it is; the least number of its 14 days that must be left.
HARMS: list[tuple[Harm, bool, int]] = [
    (flip_pages, True, 8),
    (cut, True, 4),
    (empty, True, 0),
    (gone, True, 0),
    (other, True, 0),
    (half_a_key, True, 0),
    (half_a_log, False, 13),
]


@pytest.mark.parametrize(("harm", "is_begun_anew", "days"), HARMS)
async def test_a_daemon_begins_a_damaged_diary_anew_with_what_can_be_read_and_says_so(
    data: Path, clock: VirtualClock, harm: Harm, *, is_begun_anew: bool, days: int
) -> None:
    harm(data / DATABASE_FILE)
    settings = ClientSettings(data=data, language="en")
    async with at_work(settings, clock) as radio:
        await clock.run_for(2 * HOUR_S)
        told = await status_of(settings, clock)
        assert radio._on_air is not None
        assert len(told.encounters) >= max(days, 1)
        assert (told.mended_s is not None) == is_begun_anew
        assert ("the diary was damaged and begun anew" in told.as_text()) == is_begun_anew
        assert TODAY in told.encounters
    assert not list(data.glob("*mend*"))  # noqa: ASYNC240 - the daemon has ended


async def test_damage_while_the_daemon_works_is_mended_without_a_restart(data: Path, clock: VirtualClock) -> None:
    settings = ClientSettings(data=data)
    async with at_work(settings, clock) as radio:
        await clock.run_for(HOUR_S)
        flip_pages(data / DATABASE_FILE)
        await clock.run_for(25 * HOUR_S)
        assert radio._on_air is not None
        assert (await status_of(settings, clock)).mended_s is not None


@pytest.mark.parametrize("harm", [flip_pages, cut, other, half_a_key])
async def test_without_mending_a_damaged_diary_stays_mute(data: Path, clock: VirtualClock, harm: Harm) -> None:
    """Positive control: the damage of the tests above is real."""
    harm(data / DATABASE_FILE)
    with pytest.raises(Damaged, match="'run' begins"):
        async with Device.open(ClientSettings(data=data), clock) as device:
            await device.database.verify()


@pytest.mark.parametrize("harm", [cut, other, half_a_key])
def test_commands_beside_a_damaged_diary_say_one_line_and_check_says_that_it_cannot_know(
    data: Path, capsys: pytest.CaptureFixture[str], harm: Harm
) -> None:
    harm(data / DATABASE_FILE)
    for command, code in (("status", 2), ("check", 3)):
        assert command_line.run(cli.app, "forewarn-client", ["--data", str(data), command]) == code
        told = capsys.readouterr().err
        assert "'run' begins" in told
        assert told.count("\n") == 1


@pytest.mark.parametrize("step", ["mending", "mended", "old log gone"])
def test_a_power_cut_while_a_diary_is_begun_anew_leaves_the_old_one_or_the_new_one(data: Path, step: str) -> None:
    flip_pages(data / DATABASE_FILE)
    path = data / DATABASE_FILE
    if step == "mending":
        (data / f"{DATABASE_FILE}.mending").write_bytes(b"half of a new diary")
        assert mending.mend(data, NOON_S) > 0
    else:
        whole = mending.mend(shutil.copytree(data, data.parent / "copy"), NOON_S)
        shutil.copy(data.parent / "copy" / DATABASE_FILE, data / mending.MENDED_FILE)
        if step == "old log gone":
            path.with_name(path.name + "-wal").unlink()
        mending.finish(data)
        assert whole > 0
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM day_keys").fetchone()[0] > 7
    connection.close()


@pytest.mark.parametrize("setting", ['server = "https://exam', 'language = "vi"\nserv'])
def test_half_of_a_settings_file_is_one_line(data: Path, capsys: pytest.CaptureFixture[str], setting: str) -> None:
    (data / "settings.toml").write_text(setting)
    assert command_line.run(cli.app, "forewarn-client", ["--data", str(data), "check"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


async def test_a_damaged_key_of_today_costs_what_it_sealed_and_the_day_goes_on(data: Path, clock: VirtualClock) -> None:
    async with Device.open(ClientSettings(data=data), clock) as device:
        await device.database.write(
            lambda c: c.execute(
                "UPDATE day_keys SET wrapped = zeroblob(60) WHERE day = (SELECT max(day) FROM day_keys)"
            )
        )
        assert await device.keyring.next_identifier(interval_at(NOON_S)) is not None
        await meet(device, key_of_day(NOON_S, 5), NOON_S, 4)
        assert len(await device.diary.sightings(TODAY)) == 2
        keys = await device.keyring.release(date(2025, 6, 3), interval_at(NOON_S))
        assert len(keys) == 14


async def test_a_damaged_line_of_the_status_is_passed_over(device: Device) -> None:
    await device.status.note("kept", 1.0)
    await device.database.write(lambda c: c.execute("INSERT INTO status VALUES ('spoilt', '{')"))
    assert await device.status.read() == {"kept": 1.0}
