"""One suite for both assessors: in a process of its own or in a thread, the same questions have the same answers."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from forewarn_client.alerts import active_alerts
from forewarn_client.assessing.assessors import Assessor, assessor_of
from forewarn_client.assessing.questions import Comparison, Judging
from forewarn_client.assessing.spool import rows
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.database import Damaged
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.pinned_feeds import CONFIGURATION
from forewarn_protocol.errors import BadExport, Missing, NotVerified
from forewarn_protocol.keys import ReportType
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer, p256, public, serving
from tests.client.meetings import confirmed, heard, key_of_day, meet, phone, stored_matches
from tests.small_disk import SmallDisk

YESTERDAY_S = NOON_S - DAY_S
CASE = key_of_day(YESTERDAY_S, 1)


@pytest.fixture
async def clock() -> VirtualClock:
    return VirtualClock(NOON_S)


@pytest.fixture
async def server(clock: VirtualClock) -> AsyncIterator[HonestServer]:
    async with serving(clock) as running:
        yield running


@pytest.fixture(params=["thread", "process"])
async def device(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, request: pytest.FixtureRequest
) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock, assessing=request.param) as opened:
        await meet(opened, CASE, YESTERDAY_S, 30)
        yield opened


async def test_what_was_heard_is_kept_and_told(device: Device, server: HonestServer) -> None:
    await device.diary.record(ScanWindow.of([replace(heard(CASE, YESTERDAY_S), time_s=YESTERDAY_S + 4 * 3600)]))
    server.put_export([confirmed(CASE), *(confirmed(key_of_day(YESTERDAY_S, n)) for n in range(2, 300))])
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))])
    outcome = await fetch(device)
    assert (outcome.files, outcome.keys, outcome.complete, outcome.warnings) == (2, 300, True, [])
    assert await stored_matches(device) == {CASE.key}
    (alert,) = await judge(device)
    assert alert.day == date(2025, 6, 15)
    assert await active_alerts(device) == [alert]
    assert (await device.status.read())["strange_sightings"] == {"far-in-time": "few"}


async def test_what_was_corrected_is_taken_back(device: Device, server: HonestServer) -> None:
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert len(await judge(device)) == 1
    server.put_export([], [confirmed(CASE, ReportType.REVOKED)])
    await fetch(device)
    assert await judge(device) == []
    assert await active_alerts(device) == []


async def test_a_file_that_is_not_signed_or_none_is_told_in_the_same_words(
    device: Device, server: HonestServer
) -> None:
    path = server.put_export([confirmed(CASE)])
    question = Comparison(device.place, (public(p256(9)),), date(2025, 6, 1))
    async with assessor_of(device.settings) as assessor:
        with TemporaryFile() as export, TemporaryFile() as found:
            export.write(server.files[path])
            with pytest.raises(NotVerified, match="not signed by a trusted key: check the public key"):
                await assessor.compare(question, export, found)
            export.truncate(40)
            with pytest.raises(BadExport):
                await assessor.compare(question, export, found)
            assert os.fstat(found.fileno()).st_size == 0


async def ask(assessor: Assessor, device: Device) -> None:
    await assessor.judge(Judging(device.place, CONFIGURATION.path(device.settings.region), 0.0))


async def test_before_the_first_configuration_there_is_nothing_to_judge_by(device: Device) -> None:
    async with assessor_of(device.settings) as assessor:
        judged = await assessor.judge(Judging(device.place, CONFIGURATION.path(device.settings.region), 0.0))
        assert (judged.verdicts, judged.strange, judged.corrected) == ((), {}, frozenset())


async def test_a_diary_that_cannot_be_read_is_told_as_what_it_is(device: Device) -> None:
    async with assessor_of(device.settings) as assessor:
        key = device.place.device_key.read_bytes()
        device.place.device_key.unlink()
        with pytest.raises(Missing, match="is gone, and the diary is sealed with it"):
            await ask(assessor, device)
        assert not device.place.device_key.exists(), "a new key would hide that the old one is gone"
        device.place.device_key.write_bytes(key[:16])
        with pytest.raises(Damaged):
            await ask(assessor, device)
        device.place.device_key.write_bytes(key)
        await ask(assessor, device)


async def test_a_file_that_is_no_diary_is_damaged(device: Device, tmp_path: Path) -> None:
    (tmp_path / "diary.db").write_bytes(b"no diary" * 1000)
    place = replace(device.place, database=tmp_path / "diary.db")
    async with assessor_of(device.settings) as assessor:
        with pytest.raises(Damaged, match="is no diary any more"):
            await assessor.judge(Judging(place, CONFIGURATION.path("vn"), 0.0))


async def test_a_diary_that_a_newer_version_wrote_meanwhile_is_left_alone(device: Device) -> None:
    await device.database.write(lambda connection: connection.execute("PRAGMA user_version = 2").rowcount)
    async with assessor_of(device.settings) as assessor:
        with pytest.raises(Missing, match=r"was written by a newer Forewarn \(schema 2\)"):
            await ask(assessor, device)


def test_the_product_assesses_in_a_process() -> None:
    assert ClientSettings.model_fields["assessing"].default == "process"


async def test_a_disk_that_is_full_is_told_as_that(device: Device, server: HonestServer, tmp_path: Path) -> None:
    path = server.put_export([confirmed(CASE)])
    question = Comparison(device.place, (public(server.export_key),), date(2025, 6, 1))
    with SmallDisk.made(tmp_path / "disk") as disk:
        async with assessor_of(device.settings) as assessor:
            with TemporaryFile() as export, TemporaryFile(dir=disk.folder, buffering=0) as found:
                export.write(server.files[path])
                disk.fill()
                with pytest.raises(Missing, match=r"cannot be written \(.*\): free some space"):
                    await assessor.compare(question, export, found)
                disk.free()
                found.seek(0)
                found.truncate()
                assert (await assessor.compare(question, export, found)).keys == 1
                assert len(list(rows(found))) == 1
