"""`move` in a process that is killed before each of its steps on files."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, MOVED_FILE, Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.erasing import INCOMING_FOLDER, destroy, discard_unfinished
from forewarn_client.moving import leaving
from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from tests.byte_scan import all_of, found, none_of
from tests.client.conftest import NOON_S
from tests.client.moving.diaries import into, out, settings_of, speak
from tests.dying import dies
from tests.server.hand_clock import HandClock

CLOCK = HandClock(NOON_S)
EVERY = pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
"""Every fourth step, or each."""


def live(data: Path) -> None:
    async def fill() -> None:
        async with Device.open(settings_of(data), CLOCK) as device:
            await speak(device, range(3, -1, -1))
            for minute in range(5):
                await device.diary.record(ScanWindow(NOON_S + 60 * minute, 60.0, {bytes([7] * 20): [(0, -50)]}))

    asyncio.run(fill())


def is_whole(data: Path) -> bool:
    """Tell whether the diary that `live` made can be read in a folder."""

    async def look() -> bool:
        async with Device.open(settings_of(data), CLOCK) as device:
            heard = await device.diary.sightings(date(2025, 1, 1))
            held = await device.database.read(device.keyring.held_within, date(2025, 1, 1))
            return len(heard) == 5 and sum(len(key.spoken) for key in held) == 4

    if not (data / DATABASE_FILE).exists():
        return False
    try:
        return asyncio.run(look())
    except (Missing, BadInput):
        return False


def arrives(file: Path, data: Path) -> bool:
    """Tell whether a file brings the diary to a new device."""
    try:
        asyncio.run(into(data, CLOCK, file))
    except ForewarnError:
        return False
    return is_whole(data)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    live(tmp_path / "pristine")
    return tmp_path / "pristine"


def killed_while_leaving(old: Path, folder: Path, at: int) -> tuple[bool, bool, bool]:
    """Return whether `move out` was killed at this step, whether then the source is whole, and whether the file is."""
    source, file = shutil.copytree(old, folder / "old"), folder / "diary.move"
    died = dies(lambda: asyncio.run(out(settings_of(source), CLOCK, file)), folder, at)
    return (
        died,
        is_whole(source),
        arrives(shutil.copy(file, folder / "copy"), folder / "try") if file.exists() else False,
    )


@EVERY
def test_move_out_killed_anywhere_leaves_the_source_whole_or_the_file(
    old: Path, tmp_path: Path, figure: Callable[[str], None], stride: int
) -> None:
    secret = {"device key": [(old / DEVICE_KEY_FILE).read_bytes()]}
    at, seen = 0, set[tuple[bool, bool]]()
    died = True
    while died:
        at += stride
        folder = tmp_path / f"{at}"
        folder.mkdir()
        died, source, file = killed_while_leaving(old, folder, at)
        seen.add((source, file))
        assert source or file, f"killed before step {at}: neither the source nor the file is whole"
        # The same command again goes on: with the mark it destroys the rest, without it moves the diary anew.
        if (folder / "old" / MOVED_FILE).exists():
            leaving.finish(folder / "old")
            assert file
        else:
            asyncio.run(out(settings_of(folder / "old"), CLOCK, folder / "second.move"))
            assert arrives(folder / "second.move", folder / "new")
        assert [path.name for path in (folder / "old").iterdir()] == [MOVED_FILE]
        assert found(folder / "old", secret) == none_of(secret)
    assert found(old, secret) == all_of(secret)
    assert {(True, False), (True, True), (False, True)} >= seen >= {(True, False), (False, True)}
    figure(f"move out killed before {at // stride - 1} steps on files (1 in {stride}): never neither source nor file")


def test_with_the_keys_destroyed_before_the_file_is_whole_such_a_kill_loses_the_diary(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    new_file = leaving.new_file

    def too_early(path: Path) -> object:
        destroy(tmp_path / "1" / "old" / DEVICE_KEY_FILE)
        return new_file(path)

    monkeypatch.setattr(leaving, "new_file", too_early)
    outcomes = []
    for at in range(1, 40):
        shutil.rmtree(tmp_path / "1", ignore_errors=True)
        (tmp_path / "1").mkdir()
        outcomes.append(killed_while_leaving(old, tmp_path / "1", at))
        if (True, False, False) in outcomes:
            break
    assert (True, False, False) in outcomes


@EVERY
def test_move_in_killed_anywhere_shows_the_whole_diary_or_none(
    old: Path, tmp_path: Path, figure: Callable[[str], None], stride: int
) -> None:
    sealed = tmp_path / "diary.move"
    asyncio.run(out(settings_of(old), CLOCK, sealed))
    at, seen, died = 0, set[bool](), True
    while died:
        at += stride
        folder = tmp_path / f"{at}"
        folder.mkdir()
        file, new = Path(shutil.copy(sealed, folder / "diary.move")), folder / "new"
        died = dies(lambda new=new, file=file: asyncio.run(into(new, CLOCK, file)), folder, at)  # type: ignore[misc]
        there = (new / DATABASE_FILE).exists()
        seen.add(there)
        assert is_whole(new) is there
        assert there or file.exists()
        # Whether the daemon starts next, or the same command again: nothing half-built stays.
        discard_unfinished(shutil.copytree(new, folder / "started") if new.exists() else new)
        assert not (folder / "started" / INCOMING_FOLDER).exists()
        assert there or arrives(file, new)
    assert seen == {False, True}
    figure(f"move in killed before {at // stride - 1} steps on files (1 in {stride}): the whole diary or none")
