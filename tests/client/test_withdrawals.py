import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import matches
from forewarn_client.alerts import Alert, active_alerts
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.forgetting import forget
from forewarn_client.judging import judge
from forewarn_client.matches import Heard
from forewarn_client.status import ALERT_IS_ACTIVE, NOTHING_TO_DO, look
from forewarn_client.withdrawals import take_back, withdrawn_alerts
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.keys import DiagnosisKey, ReportType
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import confirmed, key_of_day, meet, phone
from tests.client.moving.diaries import into, out, settings_of
from tests.client.test_alerts import leaks
from tests.client.test_damage import spoil

YESTERDAY_S = NOON_S - DAY_S
DAY = date(2025, 6, 15)
CASE, OTHER = key_of_day(YESTERDAY_S, 1), key_of_day(YESTERDAY_S, 2)
LIKELY = confirmed(CASE, ReportType.CONFIRMED_CLINICAL_DIAGNOSIS)
SELF_REPORT = confirmed(CASE, ReportType.SELF_REPORT)
CONFIRMED = confirmed(CASE, ReportType.CONFIRMED_TEST)
REVOKED = confirmed(CASE, ReportType.REVOKED)


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that sat beside the case for half an hour."""
    async with phone(server, tmp_path / "phone", clock) as opened:
        await meet(opened, CASE, YESTERDAY_S, 30)
        yield opened


async def learn(
    device: Device, server: HonestServer, fresh: list[DiagnosisKey], revised: Iterable[DiagnosisKey] = ()
) -> list[Alert]:
    """Publish a file, let the device fetch and judge it, and return the alerts that are new."""
    server.put_export(fresh, list(revised))
    await fetch(device)
    return await judge(device)


async def withdrawn_days(device: Device) -> list[date]:
    return [withdrawal.day for withdrawal in await withdrawn_alerts(device)]


async def standing_days(device: Device) -> list[date]:
    return [alert.day for alert in await active_alerts(device)]


async def test_an_alert_whose_only_key_is_withdrawn_is_taken_back_and_that_is_told_once(
    device: Device, server: HonestServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(await learn(device, server, [LIKELY])) == 1
    assert (await look(device)).check == ALERT_IS_ACTIVE
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert await learn(device, server, [], [REVOKED]) == []
        assert await judge(device) == []
        await fetch(device)
        assert await judge(device) == []
    assert [record.getMessage() for record in caplog.records].count(
        "there is something to tell: see 'forewarn-client status'"
    ) == 1
    status = await look(device)
    assert (status.check, status.alerts) == (NOTHING_TO_DO, [])
    for text in (status.check_text, status.as_text()):
        assert "The warning about 15 June 2025 has been withdrawn" in text
    (told,) = status.as_json()["withdrawn"]
    assert told["day"] == "2025-06-15"
    assert set(told["sentence"]) == set(LANGUAGES)
    assert "15/6/2025 đã được rút lại" in told["sentence"]["vi"]


async def test_judging_that_takes_the_oldest_word_keeps_the_false_alert(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: the same withdrawal, with the protection off."""

    def oldest_words(found: Iterable[Heard]) -> list[Heard]:
        return list({heard.key.tek.key: heard for heard in reversed(list(found))}.values())

    monkeypatch.setattr(matches, "newest_words", oldest_words)
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [REVOKED])
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])


async def test_a_withdrawn_key_stays_withdrawn_whoever_hands_out_its_first_word_again(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [REVOKED])
    await clock.run_for(3600)
    assert await learn(device, server, [LIKELY]) == []
    # And a device that has lost its ledger and reads every file anew.
    await device.database.write(lambda connection: connection.execute("DELETE FROM finished_files").rowcount)
    await fetch(device)
    assert await judge(device) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [DAY])


async def test_a_withdrawal_that_comes_before_the_key_itself_warns_nobody(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    """The older file was out of reach when the newer one was fetched."""
    first = server.put_export([LIKELY])
    hidden = server.files.pop(first)
    await clock.run_for(3600)
    assert await learn(device, server, [confirmed(OTHER)], [REVOKED]) == []
    server.files[first] = hidden
    assert (await fetch(device)).files == 1
    assert await judge(device) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [])


@pytest.mark.parametrize("in_order", [True, False])
async def test_of_two_revisions_that_of_the_later_file_counts(
    device: Device, server: HonestServer, clock: VirtualClock, *, in_order: bool
) -> None:
    """Another authority may revise a key twice; the files may come in any order."""
    first = server.put_export([SELF_REPORT], [LIKELY])
    await clock.run_for(3600)
    server.put_export([], [REVOKED])
    hidden = server.files[first]
    if not in_order:
        del server.files[first]
    await fetch(device)
    server.files[first] = hidden
    await fetch(device)
    assert await judge(device) == []


async def test_a_day_with_another_case_keeps_its_alert_brought_up_to_date_in_silence(
    device: Device, server: HonestServer
) -> None:
    await meet(device, OTHER, YESTERDAY_S + 7200, 40)
    (first,) = await learn(device, server, [LIKELY, confirmed(OTHER)])
    assert await learn(device, server, [], [REVOKED]) == []
    (now,) = await active_alerts(device)
    assert now.minutes < first.minutes
    assert await withdrawn_days(device) == []


async def test_two_short_meetings_that_added_up_to_an_alert_do_so_no_more_without_one_of_them(
    device: Device, server: HonestServer
) -> None:
    short = [key_of_day(YESTERDAY_S, number) for number in (3, 4, 5, 6)]
    for position, person in enumerate(short):
        await meet(device, person, YESTERDAY_S + 7200 + position * 3600, 8, rssi_dbm=-66)
    assert len(await learn(device, server, [confirmed(person) for person in short])) == 1
    assert await learn(device, server, [], [confirmed(short[0], ReportType.REVOKED)]) == []
    assert await standing_days(device) == [DAY]
    revoked = [confirmed(person, ReportType.REVOKED) for person in short[1:3]]
    assert await learn(device, server, [], revoked) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [DAY])


async def test_a_day_that_was_taken_back_is_told_anew_when_it_truly_was_an_exposure(
    device: Device, server: HonestServer
) -> None:
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [REVOKED])
    await meet(device, OTHER, YESTERDAY_S + 7200, 30)
    (alert,) = await learn(device, server, [confirmed(OTHER)])
    assert alert.day == DAY
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])
    # And once more back.
    await learn(device, server, [], [confirmed(OTHER, ReportType.REVOKED)])
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [DAY])


@pytest.mark.parametrize("rule", ["minutes", "gaen"])
async def test_a_suspicion_that_is_confirmed_is_told_once_and_stays(
    device: Device, server: HonestServer, rule: str
) -> None:
    server.sequence += 1
    server.put_feeds(risk={"rule": rule})
    assert len(await learn(device, server, [LIKELY])) == 1
    assert await learn(device, server, [], [CONFIRMED]) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])


async def test_where_self_reports_do_not_warn_a_confirmed_one_does(device: Device, server: HonestServer) -> None:
    server.sequence += 1
    server.put_feeds(risk={"minutes": {"report_types": [ReportType.CONFIRMED_TEST]}})
    assert await learn(device, server, [SELF_REPORT]) == []
    assert [alert.day for alert in await learn(device, server, [], [CONFIRMED])] == [DAY]
    assert await judge(device) == []


async def test_a_corrected_onset_takes_back_the_days_before_it(device: Device, server: HonestServer) -> None:
    await learn(device, server, [replace(LIKELY, days_since_onset=0)])
    await learn(device, server, [], [replace(CONFIRMED, days_since_onset=-14)])
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [DAY])


async def test_only_a_correction_takes_an_alert_back(device: Device, server: HonestServer) -> None:
    """A higher threshold, or a damaged entry, is no reason to tell a person that the danger is over."""
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [CONFIRMED])
    server.sequence += 1
    server.put_feeds(risk={"minutes": {"alert_minutes": 600}})
    await fetch(device)
    assert await judge(device) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])
    await spoil(device, "matches", rows=2)
    assert await judge(device) == []
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])


async def test_a_withdrawal_can_be_read_until_its_day_is_forgotten(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [REVOKED])
    await clock.run_for(13 * DAY_S)
    await forget(device)
    assert await withdrawn_days(device) == [DAY]
    await clock.run_for(DAY_S)
    # The day's key goes first; from then on nobody brings the day back, whatever was judged a moment ago.
    await device.database.write(device.vault.forget_before, date(2025, 6, 17))
    assert await withdrawn_days(device) == []
    await forget(device)
    rows = await device.database.read(lambda connection: connection.execute("SELECT * FROM withdrawals").fetchall())
    assert rows == []


async def test_what_was_taken_back_moves_with_the_diary_and_stays_taken_back(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path / "old", clock) as device:
        await meet(device, CASE, YESTERDAY_S, 30)
        await learn(device, server, [LIKELY])
        await learn(device, server, [], [REVOKED])
    await out(settings_of(tmp_path / "old", server), clock, tmp_path / "diary.move")
    await into(tmp_path / "new", clock, tmp_path / "diary.move")
    async with phone(server, tmp_path / "new", clock) as device:
        assert await withdrawn_days(device) == [DAY]
        assert await learn(device, server, [LIKELY]) == []
        assert await standing_days(device) == []


async def test_an_alert_of_a_day_just_forgotten_is_not_taken_back(device: Device, server: HonestServer) -> None:
    await learn(device, server, [LIKELY])
    await device.database.write(device.vault.forget_before, date(2025, 6, 17))
    assert await device.database.write(take_back, device.vault, [DAY]) == []


async def test_a_machine_that_stops_while_an_alert_is_taken_back_has_the_one_or_the_other(
    device: Device, server: HonestServer
) -> None:
    await learn(device, server, [LIKELY])

    def stopped(connection: sqlite3.Connection) -> None:
        assert len(take_back(connection, device.vault, [DAY])) == 1
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await device.database.write(stopped)
    assert (await standing_days(device), await withdrawn_days(device)) == ([DAY], [])
    await learn(device, server, [], [REVOKED])
    assert (await standing_days(device), await withdrawn_days(device)) == ([], [DAY])


async def test_a_damaged_withdrawal_is_counted_and_brings_no_alert_back(device: Device, server: HonestServer) -> None:
    await learn(device, server, [LIKELY])
    await learn(device, server, [], [REVOKED])
    await spoil(device, "withdrawals")
    status = await look(device)
    assert (status.damaged_entries, status.check, status.withdrawn) == (1, NOTHING_TO_DO, [])
    assert await judge(device) == []


async def test_a_withdrawal_names_the_case_no_more_than_an_alert_does(
    device: Device, server: HonestServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await learn(device, server, [LIKELY])
        await learn(device, server, [], [REVOKED])
    status = await look(device)
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("forewarn"))
    assert status.withdrawn
    for text in (json.dumps(status.withdrawn, ensure_ascii=False), *status.withdrawn_lines, logged):
        assert leaks(text) == set()
    assert set(status.withdrawn[0]) == {"day", "sentence"}
