import os
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import report_state
from forewarn_client.alerts import active_alerts
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE, MOVED_FILE, Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.erasing import erase
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.keyring import Keyring
from forewarn_client.moving import leaving
from forewarn_client.moving.contents import OPEN_TABLES, SEALED_TABLES
from forewarn_client.moving.sealed_file import CHUNK_BYTES
from forewarn_client.offering import Offer
from forewarn_client.presence import LOCK_FILE, only_daemon
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.reporting import Outcome, report
from forewarn_client.status import look
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadInput, Missing, NotVerified
from forewarn_protocol.intervals import interval_at
from forewarn_simulations.clocks import VirtualClock
from tests.byte_scan import all_of, found, none_of
from tests.client.conftest import NOON_S
from tests.client.honest_server import HonestServer
from tests.client.meetings import confirmed, key_of_day, meet, phone, stored_matches
from tests.client.moving.diaries import (
    DAY_S,
    content,
    into,
    names_under,
    out,
    put,
    settings_of,
    speak,
    speaks_now,
    spoken,
)

CODE = "12345678"


def yes(_: Offer) -> bool:
    return True


@pytest.fixture
async def old(server: HonestServer, clock: VirtualClock, tmp_path: Path) -> ClientSettings:
    """A device that spoke on ten days, met two people whose keys are published, and was told of the first."""
    server.codes[CODE] = {}
    met_s = NOON_S - 2 * DAY_S
    async with phone(server, tmp_path / "old", clock, region="vn") as device:
        await speak(device, range(10, -1, -1))
        await meet(device, key_of_day(met_s, 1), met_s, 30)
        await meet(device, key_of_day(NOON_S - DAY_S, 2), NOON_S - DAY_S, 30)
        server.put_export([confirmed(key_of_day(met_s, 1))])
        assert (await fetch(device)).complete
        assert len(await judge(device)) == 1
    server.put_export([confirmed(key_of_day(NOON_S - DAY_S, 2)), confirmed(key_of_day(NOON_S, 3))])
    return device.settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "stick" / "diary.move"


@pytest.fixture(autouse=True)
def _stick(file: Path) -> None:
    file.parent.mkdir()


async def test_the_moved_diary_matches_and_alerts_as_it_would_have_here(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    shutil.copytree(old.data, tmp_path / "had it stayed")
    assert await out(old, clock, file) == 0
    await into(tmp_path / "new", clock, file)
    results = []
    for folder in ("had it stayed", "new"):
        server.asked.clear()
        async with phone(server, tmp_path / folder, clock) as device:
            before = [alert.day for alert in await active_alerts(device)]
            done = await fetch(device)
            told = [alert.day for alert in await judge(device)]
            assert await judge(device) == []
            alerts, matched = await active_alerts(device), await stored_matches(device)
            heard = await device.diary.sightings(date(2025, 1, 1))
            results.append((before, done.files, told, alerts, matched, heard, (await look(device)).last_match_s))
    assert results[0] == results[1]
    before, files, told, alerts, *_ = results[1]
    assert (before, files, told, len(alerts)) == ([date(2025, 6, 14)], 1, [date(2025, 6, 15)], 2)


async def test_a_moved_device_refuses_a_feed_older_than_one_that_was_seen_before(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await out(old, clock, file)
    await into(tmp_path / "new", clock, file)
    server.sequence -= 2
    server.put_feeds()
    async with phone(server, tmp_path / "new", clock) as device:
        with pytest.raises(NotVerified, match="went back"):
            await fetch(device)
    # A device that saw nothing before has no way to know: the same server is believed.
    async with phone(server, tmp_path / "fresh", clock) as device:
        assert (await fetch(device)).keys


def secrets_of(data: Path) -> dict[str, list[bytes]]:
    connection = sqlite3.connect(data / DATABASE_FILE)
    secrets = {"device key": [(data / DEVICE_KEY_FILE).read_bytes()]}
    columns = {"day_keys": "wrapped", **dict.fromkeys(DAILY_TABLES, "sealed")}
    for table, column in columns.items():
        secrets[table] = [blob for (blob,) in connection.execute(f"SELECT {column} FROM {table}")]  # noqa: S608 - ours
    connection.close()
    return secrets


async def test_no_key_is_left_on_the_old_device_and_none_of_its_keys_serves_the_new_one(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    (old.data / SETTINGS_FILE).write_text('region = "vn"\n')
    secrets = secrets_of(old.data)
    assert len(secrets["day_keys"]) == 11
    assert found(old.data, secrets) == all_of(secrets)
    with (old.data / DEVICE_KEY_FILE).open("rb") as held:
        await out(old, clock, file)
        # Who still has the file open reads what it was overwritten with.
        assert held.read() not in secrets["device key"]
    assert sorted(path.name for path in old.data.iterdir()) == [MOVED_FILE, SETTINGS_FILE]
    assert (old.data / MOVED_FILE).read_bytes() == b""
    assert found(old.data, secrets) == none_of(secrets)
    await into(tmp_path / "new", clock, file)
    assert found(tmp_path / "new", secrets) == none_of(secrets)
    assert found(tmp_path / "new", secrets_of(tmp_path / "new")) == all_of(secrets_of(tmp_path / "new"))


async def test_the_file_is_its_owners_alone_and_shows_nothing_of_the_diary(
    old: ClientSettings, clock: VirtualClock, file: Path
) -> None:
    async with Device.open(old, clock) as device:
        teks = [key.tek.key for key in await device.database.read(device.keyring.held_within, date(1970, 1, 1))]
        heard = {sighting.payload.rpi for sighting in await device.diary.sightings(date(2025, 1, 1))}
    plain = {"own keys": teks, "heard": heard, "server": [str(old.server).encode()], "region": [b'"vn"']}
    await out(old, clock, file)
    assert (file.parent / file.name).stat().st_mode & 0o777 == 0o600
    assert found(file.parent, plain) == none_of(plain)
    (file.parent / "planted").write_bytes(b"".join(b"".join(values) for values in plain.values()))
    assert found(file.parent, plain) == all_of(plain)


async def said_by_two_that_take_in(file: Path, clock: VirtualClock, times: int) -> list[set[bytes]]:
    """Return what each of two devices says that took in the file and a copy of it."""
    folder = file.parent
    shutil.copy(file, folder / "copy")
    said = []
    for name, path in (("new", file), ("newer", folder / "copy")):
        await into(folder / name, clock, path)
        async with Device.open(settings_of(folder / name), clock) as device:
            said.append(await speaks_now(device, times))
    return said


async def test_no_identifier_is_spoken_by_two_devices_not_even_by_two_that_took_in_one_file(
    old: ClientSettings, clock: VirtualClock, file: Path
) -> None:
    async with Device.open(old, clock) as device:
        await speaks_now(device, 5)
        here = await spoken(device)
    await out(old, clock, file)
    said = await said_by_two_that_take_in(file, clock, 12)
    assert len(here) == 11 + 5
    assert [len(each) for each in said] == [12, 12]
    assert here.isdisjoint(said[0] | said[1])
    assert said[0].isdisjoint(said[1])


async def test_without_new_keys_the_same_search_finds_what_both_speak(
    old: ClientSettings, clock: VirtualClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    monkeypatch.setattr(Keyring, "retire_within", lambda *_: None)
    await out(old, clock, file)
    said = await said_by_two_that_take_in(file, clock, 3)
    assert said[0] & said[1]


@pytest.mark.parametrize("reported", [False, True])
async def test_the_new_device_speaks_at_once_after_a_report_too(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path, *, reported: bool
) -> None:
    if reported:
        async with Device.open(old, clock) as device:
            assert await report(device, CODE, consent=yes) is Outcome.SENT
    await out(old, clock, file)
    await into(tmp_path / "new", clock, file)
    async with Device.open(settings_of(tmp_path / "new"), clock) as device:
        taken = await device.keyring.next_identifier(interval_at(NOON_S))
    assert taken is not None
    assert taken[1] == interval_at(NOON_S) + 1


async def test_a_report_from_the_new_device_publishes_the_old_ones_keys_and_its_own(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    async with Device.open(old, clock) as device:
        held = await device.database.read(device.keyring.held_within, date(2025, 6, 10))
    await out(old, clock, file)
    clock.jump(3600)
    await into(tmp_path / "new", clock, file)
    async with phone(server, tmp_path / "new", clock) as device:
        await speak(device, range(1))
        own = await device.database.read(device.keyring.held_within, date(2025, 6, 16))
        assert await report(device, CODE, consent=yes) is Outcome.SENT
    theirs = {key.tek.key for key in held}
    assert len(theirs) == 7
    assert server.stored_keys() == theirs | {key.tek.key for key in own}
    assert len(server.stored_keys()) == 8


async def test_a_report_that_was_cut_off_goes_on_at_the_new_device_as_the_same_publish(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    server.spoil("/v1/publish", lambda: None)
    async with Device.open(old, clock) as device:
        with pytest.raises(Missing, match="nothing is lost"):
            await report(device, CODE, consent=yes)
    await out(old, clock, file)
    await into(tmp_path / "new", clock, file)
    async with phone(server, tmp_path / "new", clock) as device:
        await speak(device, range(1))
        assert await report(device, CODE, consent=yes) is Outcome.SENT
        assert await report(device, CODE, consent=yes) is Outcome.ALREADY
    assert len(server.published) == 1
    assert len(server.stored_keys()) == 7


async def test_the_old_device_says_that_its_diary_has_moved_and_starts_anew_after_an_erase(
    old: ClientSettings, clock: VirtualClock, file: Path
) -> None:
    await out(old, clock, file)
    timing = Timing.production()
    daemon = Daemon(old, clock, choose_radio(old, clock, timing), timing)
    with pytest.raises(Missing, match="has moved to another device: run 'erase'"):
        await daemon.run()
    assert not (old.data / DATABASE_FILE).exists()
    assert not (old.data / DEVICE_KEY_FILE).exists()
    assert erase(old.data)
    async with Device.open(old, clock) as device:
        assert await device.diary.sightings(date(2025, 1, 1)) == []


async def test_a_diary_may_come_back_to_the_device_that_it_left(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await out(old, clock, file)
    await into(tmp_path / "new", clock, file)
    await out(settings_of(tmp_path / "new"), clock, file)
    await into(old.data, clock, file)
    async with Device.open(old, clock) as device:
        assert len(await active_alerts(device)) == 1
        assert len(await speaks_now(device, 3)) == 3


async def test_the_file_is_deleted_once_its_diary_has_arrived(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await out(old, clock, file)
    arrived = await into(tmp_path / "new", clock, file)
    assert (arrived.file_deleted, content(file)) == (True, None)


async def test_a_day_that_was_over_meanwhile_does_not_come_along(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    async with Device.open(old, clock) as device:
        await speak(device, range(14, 10, -1))
    await out(old, clock, file)
    clock.jump(47 * 3600)
    await into(tmp_path / "new", clock, file)
    async with Device.open(settings_of(tmp_path / "new"), clock) as device:
        kept = await device.database.read(device.keyring.held_within, date(1970, 1, 1))
    assert [key.tek.rolling_start // 144 for key in kept] == list(range(kept[0].tek.rolling_start // 144, 20_255 + 1))
    assert len(kept) == 15 - 2


async def test_damaged_entries_stay_behind_and_are_counted(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    connection = sqlite3.connect(old.data / DATABASE_FILE)
    connection.execute("UPDATE scan_windows SET sealed = zeroblob(100) WHERE id = 3")
    connection.commit()
    connection.close()
    assert await out(old, clock, file) == 1
    await into(tmp_path / "new", clock, file)
    async with Device.open(settings_of(tmp_path / "new"), clock) as device:
        assert len(await device.diary.sightings(date(2025, 1, 1))) == 2 * (8 + 8 - 1)
        assert (await look(device)).damaged_entries == 0


async def test_every_table_of_a_diary_moves_or_stays_on_purpose(old: ClientSettings) -> None:
    connection = sqlite3.connect(old.data / DATABASE_FILE)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    moved = {kind.table for kind in SEALED_TABLES.values()}
    assert moved == set(DAILY_TABLES)
    # The new device draws its own day keys, and what its jobs did and forgot is its own; two times of status move.
    assert tables - moved - set(OPEN_TABLES.values()) == {"day_keys", "status", "erasures"}
    assert len(SEALED_TABLES) + len(OPEN_TABLES) == len(set(SEALED_TABLES) | set(OPEN_TABLES))


async def test_the_settings_of_the_person_come_along_and_those_of_the_hardware_do_not(
    server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    old = settings_of(tmp_path / "old", server, region="de", language="en", tx_power_dbm=-7, confidence=3)
    async with Device.open(old, clock):
        pass
    await out(old, clock, file)
    assert (await into(tmp_path / "new", clock, file)).took_settings
    new = ClientSettings.load(data=tmp_path / "new")
    assert (new.server, new.public_key, new.region, new.language) == (server.url, old.public_key, "de", "en")
    assert (new.tx_power_dbm, new.confidence) == (-20, 0)


async def test_a_device_with_settings_of_its_own_keeps_them(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / SETTINGS_FILE).write_text('language = "en"\n')
    await out(old, clock, file)
    assert not (await into(tmp_path / "new", clock, file)).took_settings
    assert (tmp_path / "new" / SETTINGS_FILE).read_text() == 'language = "en"\n'


async def refused_in(
    data: Path, clock: VirtualClock, file: Path, error: type[Exception], match: str, **given: object
) -> None:
    before, held = names_under(data), content(file)
    with pytest.raises(error, match=match):
        await into(data, clock, file, **given)
    assert names_under(data) == before
    assert content(file) == held


async def test_what_is_refused_changes_nothing(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await out(old, clock, file)
    whole, new = content(file) or b"", tmp_path / "new"
    await refused_in(new, clock, file, BadInput, "diary is of the region vn", region="de")
    new.mkdir()
    (new / SETTINGS_FILE).write_text('region = "de"\n')
    await refused_in(new, clock, file, BadInput, "and this device's is de", region="de")
    (new / SETTINGS_FILE).unlink()
    for cut in (len(whole) - 1, len(whole) // 2, 69):
        put(file, whole[:cut])
        await refused_in(new, clock, file, BadInput, "damaged or was cut off")
    put(file, whole[:-20] + bytes(20))
    await refused_in(new, clock, file, BadInput, "damaged or was cut off")
    put(file, whole)
    clock.jump(-601)
    await refused_in(new, clock, file, BadInput, "made in the future")
    clock.jump(601 + 48 * 3600 + 1)
    await refused_in(new, clock, file, BadInput, "over 48 hours old")
    clock.jump(-1)
    assert (await into(new, clock, file)).file_deleted


async def fill(settings: ClientSettings, clock: VirtualClock, windows: int) -> None:
    """Record windows of a crowded room: a hundred neighbours, each heard twenty times."""
    async with Device.open(settings, clock) as device:
        for number in range(windows):
            bursts = {os.urandom(20): [(40 * sample, -60) for sample in range(20)] for _ in range(100)}
            await device.diary.record(ScanWindow(NOON_S - 240 * number, 240.0, bursts))


async def test_damage_that_is_met_late_leaves_nothing_half_built(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await fill(old, clock, 30)
    await out(old, clock, file)
    whole = content(file) or b""
    assert len(whole) > 3 * CHUNK_BYTES
    put(file, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadInput, match="damaged or was cut off"):
        await into(tmp_path / "new", clock, file)
    assert names_under(tmp_path / "new") == [LOCK_FILE]
    put(file, whole)
    await into(tmp_path / "new", clock, file)
    async with Device.open(settings_of(tmp_path / "new"), clock) as device:
        assert len(await device.diary.sightings(date(2025, 6, 16))) == 30 * 100 * 20


@pytest.mark.slow
async def test_a_large_diary_moves_in_little_memory(
    old: ClientSettings, clock: VirtualClock, tmp_path: Path, file: Path, figure: Callable[[str], None]
) -> None:
    await fill(old, clock, 4_000)
    tracemalloc.start()
    await out(old, clock, file)
    left_mb = tracemalloc.get_traced_memory()[1] / 1e6
    megabytes = len(content(file) or b"") / 1e6
    tracemalloc.reset_peak()
    await into(tmp_path / "new", clock, file)
    arrived_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    figure(f"a diary of {megabytes:.0f} MB moved: Python's memory out {left_mb:.1f} MB, in {arrived_mb:.1f} MB")
    assert megabytes > 30
    assert max(left_mb, arrived_mb) < 8


async def test_while_a_diary_moves_out_nothing_can_be_added_that_its_file_lacks(
    old: ClientSettings, clock: VirtualClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add() -> None:
        connection = sqlite3.connect(old.data / DATABASE_FILE, timeout=0)
        try:
            connection.execute("INSERT INTO finished_files (sha256) VALUES ('one more')")
        finally:
            connection.close()

    refused: list[str] = []
    whole = leaving._demand_whole

    def try_meanwhile(*given: object) -> None:
        with pytest.raises(sqlite3.OperationalError) as raised:
            add()
        refused.append(str(raised.value))
        whole(*given)  # type: ignore[arg-type]

    add()  # before, it can be
    monkeypatch.setattr(leaving, "_demand_whole", try_meanwhile)
    await out(old, clock, file)
    assert refused == ["database is locked"]


async def test_a_device_that_has_a_diary_takes_no_other(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    await out(old, clock, file)
    async with phone(server, tmp_path / "new", clock) as device:
        await speak(device, range(1))
    await refused_in(tmp_path / "new", clock, file, BadInput, "there is a diary in")
    async with phone(server, tmp_path / "new", clock) as device:
        assert len(await spoken(device)) == 1


async def test_a_running_daemon_is_not_moved_away_from_under_itself(
    old: ClientSettings, clock: VirtualClock, file: Path
) -> None:
    with only_daemon(old.data), pytest.raises(BadInput, match="another daemon works on"):
        await out(old, clock, file)
    assert content(file) is None
    async with Device.open(old, clock) as device:
        assert len(await active_alerts(device)) == 1


async def test_a_file_that_is_there_is_not_overwritten(old: ClientSettings, clock: VirtualClock, file: Path) -> None:
    put(file, b"holiday pictures")
    with pytest.raises(BadInput, match="is not overwritten"):
        await out(old, clock, file)
    assert content(file) == b"holiday pictures"
    with pytest.raises(Missing, match="cannot be written"):
        await out(old, clock, file.parent / "nowhere" / "file")
    async with Device.open(old, clock) as device:
        assert len(await active_alerts(device)) == 1


async def test_a_file_that_cannot_be_read_back_costs_nothing(
    old: ClientSettings, clock: VirtualClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = leaving._demand_whole

    def lose_a_byte(path: Path, *given: object) -> None:
        path.write_bytes(path.read_bytes()[:-1])
        whole(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(leaving, "_demand_whole", lose_a_byte)
    with pytest.raises(BadInput, match="damaged"):
        await out(old, clock, file)
    assert content(file) is None
    async with Device.open(old, clock) as device:
        assert len(await active_alerts(device)) == 1


async def test_a_moving_report_keeps_its_secrets_sealed(
    old: ClientSettings, server: HonestServer, clock: VirtualClock, tmp_path: Path, file: Path
) -> None:
    server.spoil("/api/certificate", lambda: None)
    async with Device.open(old, clock) as device:
        with pytest.raises(Missing):
            await report(device, CODE, consent=yes)
        state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    await out(old, clock, file)
    secrets = {"code": [CODE.encode()], "nonce": [state.nonce], "token": [str(state.token).encode()]}
    assert found(file.parent, secrets) == none_of(secrets)
    await into(tmp_path / "new", clock, file)
    assert found(tmp_path / "new", secrets) == none_of(secrets)
    async with Device.open(settings_of(tmp_path / "new"), clock) as device:
        assert await device.database.read(report_state.load, device.vault) == state
