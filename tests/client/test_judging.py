from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from forewarn_client.alerts import active_alerts, keep_and_tell
from forewarn_client.assessing import judgement
from forewarn_client.daemon import _fetch_and_match
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.fetching import fetch
from forewarn_client.forgetting import forget
from forewarn_client.judging import judge
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Missing
from forewarn_protocol.keys import ReportType
from forewarn_protocol.risk import Likelihood
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import NEAR_DBM, confirmed, heard, key_of_day, meet, phone, stored_matches
from tests.client.turning_loop import only_while_the_loop_turns

YESTERDAY_S = NOON_S - DAY_S
CASE = key_of_day(YESTERDAY_S, 1)


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock) as opened:
        yield opened


async def meet_displaced(device: Device, by_s: float, rssi_dbm: int = NEAR_DBM) -> None:
    """Let a device hear what `CASE` says within half an hour of yesterday, but so much later or earlier."""
    for at_s in range(int(YESTERDAY_S), int(YESTERDAY_S) + 1800, 240):
        spoken = heard(CASE, at_s, rssi_dbm)
        await device.diary.record(ScanWindow.of([replace(spoken, time_s=at_s + by_s)]))


async def test_half_an_hour_at_one_table_is_told_with_day_minutes_and_likelihood(
    device: Device, server: HonestServer
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    (alert,) = await judge(device)
    assert alert.day == date(2025, 6, 15)
    assert alert.minutes in {25, 30, 35}
    assert alert.likelihood is Likelihood.LIKELY
    assert (alert.rule, alert.weak) == ("minutes", False)


async def test_an_alert_is_told_once(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert len(await judge(device)) == 1
    await fetch(device)
    assert await judge(device) == []
    assert len(await active_alerts(device)) == 1


async def test_two_calls_at_once_tell_it_once(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> None:
    async with phone(server, tmp_path, clock) as daemon, phone(server, tmp_path, clock) as command:
        await meet(daemon, CASE, YESTERDAY_S, 30)
        server.put_export([confirmed(CASE)])
        await fetch(daemon)
        assert len([*await judge(daemon), *await judge(command)]) == 1


async def test_a_stranger_far_away_or_for_a_moment_is_not_told(device: Device, server: HonestServer) -> None:
    moment, far = key_of_day(YESTERDAY_S, 2), key_of_day(YESTERDAY_S, 3)
    await meet(device, moment, YESTERDAY_S, 4)
    await meet(device, far, YESTERDAY_S, 30, rssi_dbm=-98)
    server.put_export([confirmed(moment), confirmed(far)])
    await fetch(device)
    assert await judge(device) == []


async def test_without_any_match_nothing_is_told(device: Device, server: HonestServer) -> None:
    assert await judge(device) == []
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))])
    await fetch(device)
    assert await judge(device) == []


async def test_minutes_of_one_day_add_up_over_files(device: Device, server: HonestServer) -> None:
    """Two people who reported at different times; neither was near for long enough alone."""
    people = [key_of_day(YESTERDAY_S, number) for number in (1, 2, 3, 4)]
    told: list[int] = []
    for position, person in enumerate(people):
        await meet(device, person, YESTERDAY_S + position * 3600, 8, rssi_dbm=-66)
        server.put_export([confirmed(person)])
        await fetch(device)
        told.append(len(await judge(device)))
    assert sum(told) == 1
    assert told[0] == 0


async def test_a_second_case_of_the_same_day_brings_the_alert_up_to_date_in_silence(
    device: Device, server: HonestServer
) -> None:
    other = key_of_day(YESTERDAY_S, 2)
    await meet(device, CASE, YESTERDAY_S, 30)
    await meet(device, other, YESTERDAY_S + 7200, 60)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    (first,) = await judge(device)
    server.put_export([confirmed(other)])
    await fetch(device)
    assert await judge(device) == []
    (now,) = await active_alerts(device)
    assert now.minutes > first.minutes


async def test_each_day_of_exposure_is_an_alert_of_its_own(device: Device, server: HonestServer) -> None:
    before = key_of_day(YESTERDAY_S - DAY_S, 5)
    await meet(device, CASE, YESTERDAY_S, 30)
    await meet(device, before, YESTERDAY_S - DAY_S, 30)
    server.put_export([confirmed(CASE), confirmed(before)])
    await fetch(device)
    assert [alert.day for alert in await judge(device)] == [date(2025, 6, 14), date(2025, 6, 15)]


async def test_a_key_published_twice_counts_once(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    (once,) = await judge(device)
    server.put_export([confirmed(CASE)], [confirmed(CASE)])
    await fetch(device)
    assert await judge(device) == []
    assert await active_alerts(device) == [once]


async def test_a_revoked_key_warns_nobody(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))], [confirmed(CASE, ReportType.REVOKED)])
    await fetch(device)
    assert await judge(device) == []


async def test_an_encounter_across_midnight_is_judged_on_both_days_and_outlives_the_first(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    midnight_s = NOON_S - DAY_S / 2
    evening = key_of_day(midnight_s - 1, 1)
    morning = key_of_day(midnight_s, 2)
    await meet(device, evening, midnight_s - 3600, 60)
    await meet(device, morning, midnight_s, 60)
    server.put_export([confirmed(evening), confirmed(morning)])
    await fetch(device)
    assert [alert.day for alert in await judge(device)] == [date(2025, 6, 15), date(2025, 6, 16)]
    await clock.run_for(14 * DAY_S)
    await forget(device)
    assert await judge(device) == []
    assert [alert.day for alert in await active_alerts(device)] == [date(2025, 6, 16)]
    await clock.run_for(DAY_S)
    await forget(device)
    assert await active_alerts(device) == []


async def test_a_new_configuration_counts_for_old_days(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    server.sequence += 1
    server.put_feeds(risk={"rule": "minutes", "minutes": {"alert_minutes": 600}})
    await fetch(device)
    assert await judge(device) == []
    server.sequence += 1
    server.put_feeds(risk={"rule": "gaen"})
    await fetch(device)
    (alert,) = await judge(device)
    assert alert.rule == "gaen"


async def test_a_wider_tolerance_counts_for_what_was_fetched_under_a_narrow_one(
    device: Device, server: HonestServer
) -> None:
    await meet_displaced(device, by_s=3600)
    server.put_export([confirmed(CASE)])
    server.put_feeds(tolerance_intervals=3)
    await fetch(device)
    assert await judge(device) == []
    server.sequence += 1
    server.put_feeds(tolerance_intervals=12)
    await fetch(device)
    assert len(await judge(device)) == 1


async def test_an_echo_that_the_tolerance_of_today_shuts_out_costs_no_true_encounter(
    device: Device, server: HonestServer
) -> None:
    """Under the widest tolerance the guard starts at a stranger's whisper, and drops the encounter as its replay."""
    await meet_displaced(device, by_s=-5400, rssi_dbm=-98)
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    assert await judge(device) == []
    server.sequence += 1
    server.put_feeds(tolerance_intervals=2)
    await fetch(device)
    (alert,) = await judge(device)
    assert alert.minutes in {25, 30, 35}


async def test_the_loop_turns_while_the_diary_is_judged(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    monkeypatch.setattr(judgement, "judge_risk", only_while_the_loop_turns(judgement.judge_risk))
    assert len(await judge(device)) == 1


async def test_a_single_identifier_is_marked_as_weaker_evidence_or_left_out_as_the_authority_says(
    device: Device, server: HonestServer
) -> None:
    # Eight minutes within one interval: one identifier.
    start_s = YESTERDAY_S - YESTERDAY_S % 600
    await meet(device, CASE, start_s, 9, rssi_dbm=-40)
    server.put_export([confirmed(CASE)])
    server.sequence += 1
    server.put_feeds(minimum_distinct_rpis=2, risk={"minutes": {"alert_minutes": 3}})
    await fetch(device)
    assert await judge(device) == []
    server.sequence += 1
    server.put_feeds(minimum_distinct_rpis=1, risk={"minutes": {"alert_minutes": 3}})
    await fetch(device)
    (alert,) = await judge(device)
    assert alert.weak


async def test_what_was_fetched_before_the_network_failed_is_told_all_the_same(
    device: Device, server: HonestServer
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    second = server.put_export([confirmed(key_of_day(YESTERDAY_S, 2))])
    server.spoil(second, lambda: None, lambda: None)
    async with aclosing(_fetch_and_match(device, Timing(first_step_s=(0, 0)))) as steps:
        with pytest.raises(Missing):
            await anext(steps)
    assert [alert.day for alert in await active_alerts(device)] == [date(2025, 6, 15)]


async def test_a_day_whose_key_is_destroyed_is_forgotten_before_its_rows_are(
    device: Device, server: HonestServer
) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    (alert,) = await judge(device)
    await device.database.write(device.vault.forget_before, date(2025, 6, 16))
    assert await stored_matches(device) == set()
    assert await active_alerts(device) == []
    # Judged a moment before, told a moment after: it does not bring the day back.
    assert await device.database.write(keep_and_tell, device.vault, [alert]) == []
    assert await active_alerts(device) == []
