import asyncio
import gzip
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from forewarn_client import fetching, matches
from forewarn_client.assessing import comparing
from forewarn_client.board import CLOCK_OFFSET, FAULT_PREFIX, LAST_DOWNLOAD, LAST_MATCH
from forewarn_client.device import Device
from forewarn_client.fetching import SERVER_FAULT, fetch
from forewarn_client.forgetting import forget
from forewarn_client.pinned_feeds import CONFIGURATION as PINNED_CONFIGURATION
from forewarn_client.pinned_feeds import remembered
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadExport, BadFeed, ForewarnError, Missing, NotVerified
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.feeds import sign_feed
from forewarn_protocol.keys import ReportType
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer, p256, public
from tests.client.meetings import confirmed, key_of_day, meet, phone, stored_matches
from tests.client.turning_loop import only_while_the_loop_turns

YESTERDAY_S = NOON_S - DAY_S
YESTERDAY = date(2025, 6, 15)
CONFIGURATION = "/config/vn.json"
INDEX = "/exports/vn/index.json"
CASE = key_of_day(YESTERDAY_S, 1)


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock) as opened:
        yield opened


async def ledger(device: Device) -> set[str]:
    def read(connection: sqlite3.Connection) -> set[str]:
        return {row[0] for row in connection.execute("SELECT sha256 FROM finished_files")}

    return await device.database.read(read)


async def test_a_published_key_that_was_heard_is_kept_and_others_are_not(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE), *(confirmed(key_of_day(YESTERDAY_S, n)) for n in range(2, 600))])
    outcome = await fetch(device)
    assert (outcome.files, outcome.keys, outcome.complete, outcome.warnings) == (1, 599, True, [])
    assert await stored_matches(device) == {CASE.key}


async def test_a_finished_file_is_not_fetched_again(device: Device, server: HonestServer) -> None:
    path = server.put_export([confirmed(CASE)])
    await fetch(device)
    outcome = await fetch(device)
    assert (outcome.files, server.count(path)) == (0, 1)
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))])
    assert (await fetch(device)).files == 1


async def test_revised_keys_are_matched_too(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))], [confirmed(CASE, ReportType.REVOKED)])
    await fetch(device)
    assert await stored_matches(device) == {CASE.key}


async def test_a_feed_signed_by_another_key_is_refused(device: Device, server: HonestServer) -> None:
    server.feed_key = p256(9)
    server.put_feeds()
    with pytest.raises(NotVerified, match="pinned feed key"):
        await fetch(device)


async def test_any_of_several_pinned_keys_will_do(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> None:
    async with phone(server, tmp_path, clock, public_key=(public(p256(9)), server.public_key)) as device:
        assert (await fetch(device)).complete


async def test_a_feed_signed_for_another_path_is_refused(device: Device, server: HonestServer) -> None:
    for suffix in ("", ".sig"):
        server.files[CONFIGURATION + suffix] = server.files["/advice/vn.json" + suffix]
    with pytest.raises(NotVerified):
        await fetch(device)


@pytest.mark.parametrize("put", ["put_feeds", "put_index"])
async def test_a_lower_sequence_is_refused_and_an_equal_one_is_not(
    device: Device, server: HonestServer, put: str
) -> None:
    server.sequence = 7
    server.put_feeds()
    assert (await fetch(device)).complete
    assert (await fetch(device)).complete
    server.sequence = 6
    getattr(server, put)()
    with pytest.raises(NotVerified, match="went back"):
        await fetch(device)


async def test_a_rollback_leaves_the_newer_feed_in_force(device: Device, server: HonestServer) -> None:
    server.sequence = 7
    server.put_feeds(tolerance_intervals=3)
    await fetch(device)
    server.sequence = 6
    server.put_feeds(tolerance_intervals=12)
    with pytest.raises(NotVerified):
        await fetch(device)
    kept = await remembered(device, PINNED_CONFIGURATION)
    assert kept is not None
    assert (kept.sequence, kept.tolerance_intervals) == (7, 3)


@pytest.mark.parametrize("fault", ["old signature", "old file"])
async def test_a_new_file_beside_an_old_signature_is_fetched_once_more(
    device: Device, server: HonestServer, fault: str
) -> None:
    old = {suffix: server.files[INDEX + suffix] for suffix in ("", ".sig")}
    server.put_export([confirmed(CASE)])
    suffix = ".sig" if fault == "old signature" else ""
    server.spoil(INDEX + suffix, lambda: web.Response(body=old[suffix]))
    assert (await fetch(device)).files == 1
    assert server.count(INDEX) == server.count(f"{INDEX}.sig") == 2
    # Twice is no accident any more.
    server.spoil(INDEX + suffix, *[lambda: web.Response(body=old[suffix])] * 2)
    with pytest.raises(NotVerified):
        await fetch(device)


async def test_an_expired_index_is_used_warned_of_and_does_not_count_as_up_to_date(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await clock.run_for(2 * DAY_S)
    outcome = await fetch(device)
    assert not outcome.complete
    assert "list of keys has expired" in " ".join(outcome.warnings)
    assert await stored_matches(device) == {CASE.key}
    status = await device.status.read()
    assert LAST_MATCH not in status
    assert "expired" in str(status[FAULT_PREFIX + SERVER_FAULT])
    server.put_feeds()
    assert (await fetch(device)).complete
    assert FAULT_PREFIX + SERVER_FAULT not in await device.status.read()


async def test_a_file_that_is_not_what_the_index_says_is_left_out_and_fetched_when_it_is(
    device: Device, server: HonestServer
) -> None:
    path = server.put_export([confirmed(CASE)])
    good = server.files[path]
    server.files[path] = good[:-1] + bytes([good[-1] ^ 1])
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete, server.count(path), server.count(INDEX)) == (0, False, 2, 2)
    assert "not the file that the index names" in outcome.warnings[0]
    assert await ledger(device) == set()
    server.files[path] = good
    assert (await fetch(device)).files == 1


async def test_an_index_newer_than_a_cached_one_mends_a_mismatch(device: Device, server: HonestServer) -> None:
    """The first index is an old copy that names another file; the second is the server's own."""
    server.put_export([confirmed(CASE)], name="a.zip")
    old = {suffix: server.files[INDEX + suffix] for suffix in ("", ".sig")}
    server.index.clear()
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 5))], name="a.zip")
    for suffix, body in old.items():
        server.spoil(INDEX + suffix, lambda body=body: web.Response(body=body))
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete, outcome.warnings) == (1, True, [])


async def test_the_export_keys_of_the_signed_configuration_decide_about_an_export(
    device: Device, server: HonestServer
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)], signer=p256(8))
    outcome = await fetch(device)
    assert not outcome.complete
    assert "not signed by a trusted key" in outcome.warnings[0]
    assert await stored_matches(device) == set()
    # The same file, once its key stands in the configuration.
    server.export_key = p256(8)
    server.sequence += 1
    server.put_feeds()
    assert (await fetch(device)).complete
    assert await stored_matches(device) == {CASE.key}


async def test_one_bad_file_does_not_hold_up_the_good_ones(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))], signer=p256(8))
    server.put_export([confirmed(CASE)])
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete) == (1, False)
    assert await stored_matches(device) == {CASE.key}


async def test_a_malformed_file_with_the_right_hash_is_left_out(device: Device, server: HonestServer) -> None:
    path = server.put_export([confirmed(CASE)])
    body = b"PK no zip at all"
    server.files[path] = body
    server.index[0] |= {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    server.sequence += 1
    server.put_index()
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete) == (0, False)
    assert await ledger(device) == set()


async def test_a_file_is_cut_off_at_the_size_of_the_index_whatever_content_length_says(
    device: Device, server: HonestServer
) -> None:
    path = server.put_export([confirmed(CASE)])
    server.files[path] += bytes(1_000_000)
    outcome = await fetch(device)
    assert "is larger than" in outcome.warnings[0]
    assert outcome.files == 0


async def test_an_endless_feed_is_cut_off_at_its_limit(device: Device, server: HonestServer) -> None:
    server.files[CONFIGURATION] = bytes(300 * 1024)
    with pytest.raises(BadFeed, match="larger than 262144 bytes"):
        await fetch(device)


async def test_compressed_answers_are_not_inflated(device: Device, server: HonestServer) -> None:
    """A small answer that inflates to gigabytes would pass any limit on what was sent."""
    body = server.files[CONFIGURATION]
    packed = web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    server.spoil(CONFIGURATION, lambda: packed)
    server.spoil(CONFIGURATION, lambda: web.Response(body=body))
    # Read as it came, the packed bytes do not verify; asked again, the plain ones do.
    assert (await fetch(device)).complete
    assert server.count(CONFIGURATION) == 2


async def test_no_request_of_a_fetch_asks_for_a_compressed_answer(device: Device, server: HonestServer) -> None:
    path = server.put_export([confirmed(CASE)])
    assert (await fetch(device)).complete
    assert {CONFIGURATION, INDEX, path} <= set(server.asked)
    assert set(server.encodings) == {"identity"}


async def test_a_listed_file_that_is_gone_meanwhile_is_no_error(device: Device, server: HonestServer) -> None:
    path = server.put_export([confirmed(CASE)])
    listed = {suffix: server.files[INDEX + suffix] for suffix in ("", ".sig")}
    del server.files[path]
    server.index.clear()
    server.sequence += 1
    server.put_index()
    for suffix, body in listed.items():
        server.spoil(INDEX + suffix, lambda body=body: web.Response(body=body))
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete, outcome.warnings) == (0, True, [])


async def test_what_left_the_index_leaves_the_ledger(device: Device, server: HonestServer) -> None:
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert len(await ledger(device)) == 1
    server.index.clear()
    server.sequence += 1
    server.put_index()
    assert (await fetch(device)).complete
    assert await ledger(device) == set()


async def test_a_fetch_that_breaks_off_keeps_whole_files_and_the_next_one_goes_on(
    device: Device, server: HonestServer
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    first = server.put_export([confirmed(CASE)])
    second = server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))])
    server.spoil(second, lambda: None, lambda: None)  # the library tries a broken GET once more
    with pytest.raises(Missing, match="cannot be reached"):
        await fetch(device)
    assert len(await ledger(device)) == 1
    assert await stored_matches(device) == {CASE.key}
    assert LAST_MATCH not in await device.status.read()
    assert (await fetch(device)).files == 1
    assert (server.count(first), server.count(second)) == (1, 3)


async def test_a_file_and_its_matches_are_one_transaction(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    trigger = (
        "CREATE TRIGGER fault BEFORE INSERT ON finished_files BEGIN SELECT RAISE(ABORT, 'the last step fails'); END"
    )
    await device.database.write(sqlite3.Connection.execute, trigger)
    with pytest.raises(sqlite3.IntegrityError, match="the last step fails"):
        await fetch(device)
    assert await ledger(device) == set()
    assert await stored_matches(device) == set()
    await device.database.write(sqlite3.Connection.execute, "DROP TRIGGER fault")
    await fetch(device)
    assert len(await ledger(device)) == 1
    assert await stored_matches(device) == {CASE.key}


@pytest.mark.parametrize("step", range(1, 10))
async def test_a_fetch_cancelled_at_any_request_applies_nothing_half(
    device: Device, server: HonestServer, step: int
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    for number in (1, 2, 3):
        server.put_export([confirmed(key_of_day(YESTERDAY_S, number))])
    task = asyncio.create_task(fetch(device))
    server.on_request = lambda: task.cancel() if len(server.asked) == step else None
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)
    server.on_request = None
    matched = await stored_matches(device)
    assert (CASE.key in matched) == (server.index[0]["sha256"] in await ledger(device))
    assert (await fetch(device)).complete
    assert len(await ledger(device)) == 3
    assert await stored_matches(device) == {CASE.key}
    assert list(device.settings.data.glob("tmp*")) == []


@pytest.mark.parametrize("work", ["ExportFile", "SightingIndex"])
async def test_the_loop_turns_while_a_file_is_opened_and_sightings_are_indexed(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    if work == "ExportFile":
        monkeypatch.setattr(ExportFile, "open_zip", only_while_the_loop_turns(ExportFile.open_zip))
        monkeypatch.setattr(ExportFile, "verify", only_while_the_loop_turns(ExportFile.verify))
    else:
        monkeypatch.setattr(comparing, work, only_while_the_loop_turns(comparing.SightingIndex))
    assert (await fetch(device)).complete
    assert await stored_matches(device) == {CASE.key}


async def test_a_fetch_cancelled_while_a_file_is_opened_stops_the_reading_and_applies_nothing(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    task = asyncio.create_task(fetch(device))
    stopped = asyncio.get_running_loop().create_future()
    opening = only_while_the_loop_turns(ExportFile.open_zip, meanwhile=task.cancel)

    def open_zip(file: BinaryIO) -> ExportFile:
        try:
            return opening(file)
        except BaseException as error:
            stopped.get_loop().call_soon_threadsafe(stopped.set_result, error)
            raise

    with monkeypatch.context() as patch:
        patch.setattr(ExportFile, "open_zip", open_zip)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await asyncio.wait_for(stopped, 5), BadExport)
    assert await ledger(device) == set()
    assert await stored_matches(device) == set()
    assert (await fetch(device)).complete
    assert await stored_matches(device) == {CASE.key}


@pytest.mark.parametrize("path", [CONFIGURATION, INDEX, f"{INDEX}.sig"])
async def test_a_server_that_lacks_a_feed_or_fails_is_missing(device: Device, server: HonestServer, path: str) -> None:
    server.spoil(path, lambda: web.Response(status=503))
    with pytest.raises(Missing, match="503"):
        await fetch(device)
    del server.files[path]
    with pytest.raises(Missing, match="the server has no"):
        await fetch(device)


async def test_without_advice_matching_goes_on_and_the_last_advice_serves(device: Device, server: HonestServer) -> None:
    await fetch(device)
    server.put_export([confirmed(CASE)])
    del server.files["/advice/vn.json"]
    outcome = await fetch(device)
    assert (outcome.files, outcome.complete, len(outcome.warnings)) == (1, True, 1)


async def test_a_redirect_is_not_followed(device: Device, server: HonestServer) -> None:
    server.files["/elsewhere"] = server.files[CONFIGURATION]
    server.spoil(CONFIGURATION, lambda: web.Response(status=302, headers={"Location": "/elsewhere"}))
    with pytest.raises(Missing, match="302"):
        await fetch(device)
    assert server.count("/elsewhere") == 0


async def test_an_unreachable_server_is_missing_with_a_sentence_and_loses_nothing(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, unused_tcp_port: int
) -> None:
    async with phone(server, tmp_path, clock, server=f"http://127.0.0.1:{unused_tcp_port}") as device:
        with pytest.raises(Missing) as raised:
            await fetch(device)
        assert raised.value.exit_code == 3
        assert "127.0.0.1" not in raised.value.message


@pytest.mark.parametrize(("setting", "sentence"), [("server", "no server is set"), ("public_key", "no feed key")])
async def test_without_server_or_key_the_sentence_says_what_to_give(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, setting: str, sentence: str
) -> None:
    async with phone(server, tmp_path, clock, **{setting: None if setting == "server" else ()}) as device:
        with pytest.raises(Missing, match=sentence):
            await fetch(device)
        assert server.asked == []


@pytest.mark.parametrize("ahead_s", [-3 * 3600, -30, 0, 3 * 3600])
async def test_the_servers_date_is_compared_with_this_devices_clock(
    server: HonestServer, tmp_path: Path, ahead_s: int
) -> None:
    wrong = VirtualClock(NOON_S - ahead_s)
    async with phone(server, tmp_path, wrong) as device:
        await fetch(device)
        assert (await device.status.read())[CLOCK_OFFSET] == pytest.approx(ahead_s, abs=1)


async def test_a_date_that_nobody_can_read_says_nothing_about_the_clock(device: Device, server: HonestServer) -> None:
    server.date = "yesterday"
    assert (await fetch(device)).complete
    assert CLOCK_OFFSET not in await device.status.read()


async def test_the_status_says_when_it_was_brought_up_to_date(device: Device, clock: VirtualClock) -> None:
    await fetch(device)
    status = await device.status.read()
    assert status[LAST_DOWNLOAD] == status[LAST_MATCH] == clock.utc()


async def test_matches_are_forgotten_with_their_day_and_a_forgotten_day_does_not_come_back(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert await stored_matches(device) == {CASE.key}

    def as_found(connection: sqlite3.Connection) -> list[tuple[date, bytes]]:
        seal = device.vault.day(connection, YESTERDAY)
        return [(YESTERDAY, matches.sealed(seal, heard)) for heard in matches.remembered(connection, device.vault)]

    found = await device.database.read(as_found)
    assert found
    await clock.run_for(timedelta(days=14).total_seconds())
    assert await forget(device)
    assert await stored_matches(device) == set()
    # A file that was being matched while its day was forgotten.
    first_kept = await device.database.read(fetching.first_kept_day, device)
    await device.database.write(matches.keep, found, first_kept)
    rows = await device.database.read(lambda connection: connection.execute("SELECT 1 FROM matches").fetchall())
    assert rows == []
    assert await stored_matches(device) == set()


async def test_nothing_of_a_match_stands_readable_in_the_files(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert await stored_matches(device) == {CASE.key}
    # The ledger's hash is found, so the search would find a key as well.
    on_disk = b"".join(path.read_bytes() for path in device.settings.data.iterdir())
    assert server.index[0]["sha256"].encode() in on_disk
    assert CASE.key not in on_disk


def test_the_next_fetch_comes_after_a_few_hours_drawn_anew() -> None:
    timing = Timing.production()
    gaps = [timing.draw(timing.fetch_gap_s) for _ in range(50)]
    assert len(set(gaps)) == 50
    assert all(3600 <= gap <= 6 * 3600 for gap in gaps)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(body=st.binary(max_size=2000), fields=st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8)))
@pytest.mark.parametrize("path", [CONFIGURATION, INDEX, "/advice/vn.json", "/exports/vn/0000.zip"])
async def test_whatever_a_pinned_key_signs_only_the_family_of_errors_comes_out(
    device: Device, server: HonestServer, path: str, body: bytes, fields: dict[str, Any]
) -> None:
    if path.endswith("zip"):
        server.index[:] = [
            {"path": "0000.zip", "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body) or 1, "keys": 1}
        ]
        server.files[path] = body
        server.sequence += 1
        server.put_index()
    else:
        server.sequence += 1
        server.put_feed(path, fields)
        if body and body[0] % 2:
            server.files[path] = body
            server.files[f"{path}.sig"] = sign_feed(server.feed_key, path, body)
    with suppress(ForewarnError):
        await fetch(device)
