"""Every fault of a server's disk, files and clock, each really made: what is answered, lost and mended by itself."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select

from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from forewarn_server import steady_time
from forewarn_server.config import ServerSettings
from forewarn_server.exports.sealing import exports_folder, seal
from forewarn_server.hours import DAY_S
from forewarn_server.retention.forgetting import RESERVE_FILE, forget
from forewarn_server.setting_up import initialise
from forewarn_server.store.exposure_tables import keys
from forewarn_shell.clock import Keeper
from tests.server.hand_clock import NOON, HandClock
from tests.server.published_files import exports_of, index_of, texts_in, texts_of, until
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import RunningServer, running
from tests.small_disk import SmallDisk

HOUR_S = 3_600


async def reports(server: RunningServer, people: int = 3) -> set[str]:
    sent = [Phone(server).past_keys() for _ in range(people)]
    for each in sent:
        await published(server, each)
    return texts_of(*sent)


async def stored(server: RunningServer) -> int:
    async with server.context.exposure.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(keys)) or 0


async def published_texts(server: RunningServer) -> set[str]:
    return {text for export in await exports_of(server) for text in texts_in(export)}


# A full disk.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk.made(tmp_path / "disk", "12m") as made:
        yield made


@asynccontextmanager
async def on(disk: SmallDisk) -> AsyncIterator[RunningServer]:
    initialise(disk.folder / "data", "vn")
    async with running(ServerSettings.load(disk.folder / "data"), HandClock()) as server:
        yield server


async def test_on_a_full_disk_a_publish_is_refused_as_our_fault_and_the_same_one_succeeds_when_there_is_space(
    disk: SmallDisk,
) -> None:
    async with on(disk) as server:
        before = await reports(server)
        phone = Phone(server)
        bodies = [await phone.request(phone.past_keys())]
        await forget(server.context)  # empties the logs, in which there would be room for some more
        disk.fill()
        reply = await server.post("/v1/publish", bodies[0])
        assert (reply.status, reply.json["code"]) == (500, "internal_error")
        assert (await server.staff("/api/issue", {"testType": "confirmed"})).status == 500
        with pytest.raises((ForewarnError, OSError)):
            await seal(server.context)
        assert (await server.send("GET", "/exports/vn/index.json")).status == 200
        folder = exports_folder(server.context.settings)
        assert not list(folder.glob(".*")), "half a file keeps the disk full"
        disk.free()
        reply = await server.post("/v1/publish", bodies[0])
        assert (reply.status, reply.json["insertedExposures"]) == (200, 3)
        await seal(server.context)
        assert before | texts_of(bodies[0]["temporaryExposureKeys"]) <= await published_texts(server)


async def test_a_running_server_seals_by_itself_when_space_returns(disk: SmallDisk) -> None:
    async with on(disk) as server:
        expected = await reports(server)
        await forget(server.context)
        disk.fill()
        server.clock.advance(HOUR_S + 1)
        await asyncio.sleep(0.1)
        assert (await index_of(server)).files == ()
        disk.free()

        async def is_sealed() -> bool:
            server.clock.advance(61)
            return bool((await index_of(server)).files)

        await until(is_sealed)
        assert expected <= await published_texts(server)


@pytest.mark.parametrize("held", [True, False])
async def test_keys_that_are_due_are_deleted_on_a_disk_that_is_full_to_the_last_byte(
    disk: SmallDisk, *, held: bool
) -> None:
    """Without the reserve nothing can be written, and so nothing deleted: the control."""
    async with on(disk) as server:
        await reports(server)
        await seal(server.context)
        await forget(server.context)
        if not held:
            (server.context.settings.data / RESERVE_FILE).unlink()
        disk.fill()
        server.clock.now_s += 15 * DAY_S
        with suppress(Missing, OSError):  # the rest may wait
            await forget(server.context)
        assert (await stored(server) == 0) == held
        disk.free()
        assert (await forget(server.context)).overwritten
        assert await stored(server) == 0


# Damaged files.


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096, 2):
            file.seek(4096 * page)
            file.write(os.urandom(4096))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no database at all " * 400)


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999_of_the_future'")
    connection.commit()
    connection.close()


def older(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM alembic_version")
    connection.commit()
    connection.close()


HARMS: list[tuple[str, Callable[[Path], None], str]] = [
    ("exposure.db", flip, "restore"),
    ("exposure.db", cut, "restore"),
    ("exposure.db", empty, "is empty: restore it from a backup"),
    ("exposure.db", text, "restore it from a backup"),
    ("exposure.db", newer, "newer Forewarn"),
    ("exposure.db", older, "restore it from a backup"),
    ("registry.db", text, "restore it from a backup"),
    ("keys/feed/v1", cut, "restore"),
    ("keys/export/v1", empty, "restore"),
    ("keys/token/v1", cut, "restore"),
    ("settings.toml", cut, "settings.toml"),
    ("advice.json", lambda path: path.write_text('{"texts": {"vi"'), "advice.json"),
]


@pytest.mark.parametrize(("name", "harm", "says"), HARMS)
async def test_a_server_does_not_start_on_half_of_anything_and_says_which_in_one_line(
    data: Path, clock: HandClock, name: str, harm: Callable[[Path], None], says: str
) -> None:
    if name == "settings.toml":
        (data / name).write_text('region = "vn"\nlog_level = "IN')
    else:
        harm(data / name)
    with pytest.raises((Missing, BadInput), match=says) as caught:
        async with running(ServerSettings.load(data), clock) as server:
            await seal(server.context)
    assert "\n" not in caught.value.message


async def test_a_database_that_is_damaged_while_the_server_runs_acknowledges_nothing_until_it_is_restored(
    data: Path, clock: HandClock, tmp_path: Path
) -> None:
    async with running(ServerSettings.load(data), clock) as server:
        expected = await reports(server)
    backup = shutil.copytree(data, tmp_path / "backup")
    text(data / "exposure.db")
    with pytest.raises(Missing):
        async with running(ServerSettings.load(data), clock):
            pass
    shutil.copy(backup / "exposure.db", data / "exposure.db")
    async with running(ServerSettings.load(data), clock) as server:
        assert expected <= await published_texts(server)


@pytest.mark.parametrize("harm", [cut, empty, text, Path.unlink])
async def test_half_of_an_export_in_the_public_folder_is_written_anew_under_another_name(
    server: RunningServer, harm: Callable[[Path], None]
) -> None:
    expected = await reports(server)
    await seal(server.context)
    (entry,) = (await index_of(server)).files
    harm(exports_folder(server.context.settings) / entry.path)
    server.clock.advance(HOUR_S)
    await seal(server.context)
    (again,) = (await index_of(server)).files
    assert again.path != entry.path
    assert expected <= await published_texts(server)


@pytest.mark.parametrize(
    "name", ["exports/vn/index.json", "exports/vn/index.json.sig", "config/vn.json", "advice/vn.json"]
)
async def test_half_of_a_feed_in_the_public_folder_is_signed_anew_within_the_hour(
    server: RunningServer, name: str
) -> None:
    path = server.context.settings.public / name
    whole = path.stat().st_size
    cut(path)
    server.clock.advance(HOUR_S + 1)

    async def is_whole() -> bool:
        return path.stat().st_size >= whole - 2

    await until(is_whole)
    assert (await index_of(server)).sequence


# Two servers on one data folder.


async def test_two_servers_on_one_data_folder_publish_each_key_once_and_forget_together(
    settings: ServerSettings,
) -> None:
    clock = HandClock()
    async with running(settings, clock) as one, running(settings, clock) as other:
        phone = Phone(one)
        body = await phone.request(phone.past_keys())
        replies = await asyncio.gather(*(each.post("/v1/publish", body) for each in (one, other) * 3))
        assert [reply.status for reply in replies] == [200] * 6
        assert sum(reply.json["insertedExposures"] for reply in replies) == 3
        assert len({reply.json["revisionToken"] for reply in replies}) == 1
        expected = texts_of(body["temporaryExposureKeys"]) | await reports(one) | await reports(other)
        await asyncio.gather(*(seal(each.context) for each in (one, other) * 2))
        found = [text for export in await exports_of(other) for text in texts_in(export)]
        assert expected <= set(found)
        assert len(found) == len(set(found))
        first = (await index_of(one)).sequence
        clock.advance(15 * DAY_S)
        await asyncio.gather(forget(one.context), forget(other.context), seal(one.context))
        assert await stored(one) == 0
        assert (await index_of(one)).sequence > first


# The clock.


@pytest.mark.parametrize("step_s", [3 * HOUR_S, -3 * HOUR_S, 20 * DAY_S, -20 * DAY_S])
async def test_a_server_whose_clock_steps_without_a_time_service_does_nothing_that_needs_the_time_until_it_is_right(
    server: RunningServer, step_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = await reports(server)
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    before = json.loads((await server.send("GET", "/config/vn.json")).body)
    held = await stored(server)
    server.clock.keeper = Keeper.NOBODY
    server.clock.step(step_s)
    server.clock.advance(HOUR_S + 1)
    reply = await server.post("/v1/publish", body)
    assert (reply.status, reply.json["code"]) == (500, "internal_error"), "a phone keeps its keys and comes back"
    for act in (seal, forget):
        with pytest.raises(Missing, match="no time service keeps it: set it, or start one"):
            await act(server.context)

    async def is_told() -> bool:
        return "own record" in caplog.text

    await until(is_told)
    assert json.loads((await server.send("GET", "/config/vn.json")).body) == before
    assert await stored(server) == held
    server.clock.step(-step_s)
    assert (await server.post("/v1/publish", body)).status in {200, 401}  # its certificate is an hour old by now
    await seal(server.context)
    assert expected <= await published_texts(server)
    assert json.loads((await server.send("GET", "/config/vn.json")).body)["sequence"] >= before["sequence"]


async def test_a_step_of_20_days_ahead_forgets_nothing_though_a_time_service_vouches_for_it(
    server: RunningServer,
) -> None:
    expected = await reports(server)
    await seal(server.context)
    server.clock.step(20 * DAY_S)
    await forget(server.context)
    await seal(server.context)
    assert expected <= await published_texts(server)
    assert server.context.reached_s() < server.context.now_s()
    server.clock.step(-20 * DAY_S)
    await seal(server.context)
    assert expected <= await published_texts(server)
    server.clock.step(20 * DAY_S)
    await forget(server.context, is_confirmed=True)
    assert await stored(server) == 0


async def test_without_its_own_count_a_server_forgets_everything_in_a_step(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    monkeypatch.setattr(steady_time, "SURE_GAP_S", float("inf"))
    await reports(server)
    await seal(server.context)
    server.clock.step(20 * DAY_S)
    await forget(server.context)
    assert await stored(server) == 0


async def test_the_metric_of_overdue_forgetting_rises_while_a_step_is_not_confirmed(server: RunningServer) -> None:
    server.clock.step(20 * DAY_S)
    server.clock.advance(HOUR_S + 1)

    async def rises() -> bool:
        server.clock.advance(HOUR_S)
        found = [line for line in server.context.metrics.text().decode().splitlines() if "forgetting_overdue" in line]
        return float(found[-1].rpartition(" ")[2]) > 0

    await until(rises)


@pytest.mark.parametrize(
    ("off_s", "keeper", "starts"),
    [
        (-7 * DAY_S, Keeper.NOBODY, False),
        (-7 * DAY_S, Keeper.REAL_TIME_CLOCK, False),
        (-7 * DAY_S, Keeper.TIME_SERVICE, True),
        (20 * DAY_S, Keeper.NOBODY, True),
        (20 * DAY_S, Keeper.TIME_SERVICE, True),
    ],
)
async def test_a_server_that_starts_with_another_time_than_it_last_signed(
    settings: ServerSettings, off_s: int, keeper: Keeper, *, starts: bool
) -> None:
    async with running(settings, HandClock()) as server:
        expected = await reports(server)
        await seal(server.context)
        first = (await index_of(server)).sequence
    clock = HandClock(now_s=NOON + off_s, keeper=keeper)
    if not starts:
        with pytest.raises(Missing, match="7 days behind"):
            async with running(settings, clock):
                pass
        return
    async with running(settings, clock) as server:
        assert (await index_of(server)).sequence > first
        await forget(server.context)
        is_kept = off_s < 0 or keeper is not Keeper.TIME_SERVICE
        assert (await stored(server) > 0) == is_kept
        assert (expected <= await published_texts(server)) == is_kept
