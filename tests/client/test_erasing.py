import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import erasing
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.erasing import erase
from forewarn_client.mending import UNFINISHED_FILE
from forewarn_client.presence import is_running, only_daemon
from forewarn_protocol.errors import BadInput, Missing
from forewarn_simulations.clocks import VirtualClock
from tests.byte_scan import all_of, found, none_of
from tests.client.conftest import NOON_S


async def fill(settings: ClientSettings, clock: VirtualClock) -> None:
    async with Device.open(settings, clock) as device:
        await device.diary.record(ScanWindow(NOON_S, None, {bytes(20): [(0, -50)]}))
    (settings.data / SETTINGS_FILE).write_text('region = "vn"\n')


async def test_erasing_leaves_the_settings_and_nothing_else(settings: ClientSettings, clock: VirtualClock) -> None:
    await fill(settings, clock)
    key = (settings.data / DEVICE_KEY_FILE).read_bytes()
    with (settings.data / DEVICE_KEY_FILE).open("rb") as file:
        assert erase(settings.data)
        # Who still has the file open reads what it was overwritten with.
        overwritten = file.read()
    assert len(overwritten) == len(key) == 32
    assert overwritten != key
    assert [path.name for path in settings.data.iterdir()] == [SETTINGS_FILE]
    assert not erase(settings.data)


async def test_after_erasing_a_device_begins_anew(settings: ClientSettings, clock: VirtualClock) -> None:
    await fill(settings, clock)
    erase(settings.data)
    async with Device.open(settings, clock) as device:
        assert await device.diary.sightings(date(2025, 1, 1)) == []


async def test_after_erasing_neither_key_nor_diary_is_in_any_file(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    await fill(settings, clock)
    data = settings.data
    # As a start leaves it that was killed between naming its key and dropping the name it was made under.
    os.link(data / DEVICE_KEY_FILE, data / f".{DEVICE_KEY_FILE}.0a1b2c3d")
    shutil.copy(data / DATABASE_FILE, data / UNFINISHED_FILE)
    connection = sqlite3.connect(data / DATABASE_FILE)
    secrets = {
        "device key": [(data / DEVICE_KEY_FILE).read_bytes()],
        "day keys": [blob for (blob,) in connection.execute("SELECT wrapped FROM day_keys")],
        "scan windows": [blob for (blob,) in connection.execute("SELECT sealed FROM scan_windows")],
    }
    connection.close()
    assert found(data, secrets) == all_of(secrets)
    assert all(all_of(secrets).values())
    assert erase(data)
    assert found(data, secrets) == none_of(secrets)


async def test_the_scan_finds_a_key_that_erasing_overlooks(
    settings: ClientSettings, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: another copy of the key, and a diary that stays, are found."""
    await fill(settings, clock)
    data = settings.data
    key = (data / DEVICE_KEY_FILE).read_bytes()
    (data / "copy").write_bytes(key)
    monkeypatch.setattr(erasing, "_FILES", erasing._FILES[:1])
    assert erase(data)
    assert found(data, {"device key": [key]}) == {"device key": 1}
    assert (data / DATABASE_FILE).exists()


async def test_a_break_in_the_middle_has_destroyed_the_key_already(
    settings: ClientSettings, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings, clock)
    monkeypatch.setattr(erasing, "_FILES", (*erasing._FILES[:1], ".", *erasing._FILES[1:]))
    with pytest.raises(Missing, match="then erase again"):
        erase(settings.data)
    assert not (settings.data / DEVICE_KEY_FILE).exists()
    assert (settings.data / DATABASE_FILE).exists()
    with pytest.raises(Missing, match="is gone, and the diary is sealed with it"):
        async with Device.open(settings, clock):
            pass
    assert not (settings.data / DEVICE_KEY_FILE).exists()
    monkeypatch.undo()
    assert erase(settings.data)
    assert [path.name for path in settings.data.iterdir()] == [SETTINGS_FILE]


async def test_what_a_daemon_works_on_is_not_erased(settings: ClientSettings, clock: VirtualClock) -> None:
    await fill(settings, clock)
    with only_daemon(settings.data), pytest.raises(BadInput, match="another daemon works on"):
        erase(settings.data)
    async with Device.open(settings, clock) as device:
        assert len(await device.diary.sightings(date(2025, 1, 1))) == 1


def test_a_daemon_is_seen_while_it_holds_the_folder_and_no_longer(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with only_daemon(tmp_path):
        assert is_running(tmp_path)
        assert is_running(tmp_path)
        with pytest.raises(BadInput), only_daemon(tmp_path):
            pass
    assert not is_running(tmp_path)


def test_a_daemon_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from forewarn_client.presence import only_daemon\n"
        "with only_daemon(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert is_running(tmp_path)
        process.kill()
    assert not is_running(tmp_path)


def test_a_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Missing, match="give another --data"), only_daemon(tmp_path / "file"):
        pass
    with pytest.raises(Missing, match="cannot be read"):
        is_running(tmp_path / "file")
