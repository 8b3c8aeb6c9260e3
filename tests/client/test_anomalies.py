from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from forewarn_client import anomalies
from forewarn_client.alerts import active_alerts
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.fetching import fetch
from forewarn_client.forgetting import KEPT_DAYS, forget
from forewarn_client.judging import judge
from forewarn_client.status import look
from forewarn_protocol.matching import Anomaly
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import confirmed, heard, key_of_day, phone

YESTERDAY_S = NOON_S - DAY_S
HOUR_S = 3600
CASE = key_of_day(YESTERDAY_S, 1)


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock) as opened:
        yield opened


async def hear_one_identifier(device: Device, times: int, late_s: float) -> None:
    taken = heard(CASE, YESTERDAY_S)
    for number in range(times):
        await device.diary.record(ScanWindow.of([replace(taken, time_s=YESTERDAY_S + late_s + number * 60)]))


@pytest.mark.parametrize(("times", "amount"), [(1, "few"), (9, "few"), (10, "many")])
async def test_sightings_hours_from_their_time_are_told_as_few_or_many(
    device: Device, server: HonestServer, times: int, amount: str
) -> None:
    await hear_one_identifier(device, times, 4 * HOUR_S)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await judge(device)
    found = await look(device)
    assert found.as_json()["strange_sightings"] == {"far-in-time": amount}
    assert f"{amount} far-in-time; many can mean that somebody replays" in found.as_text()


async def test_a_replay_is_told_and_how_often_it_was_heard_is_not(device: Device, server: HonestServer) -> None:
    await hear_one_identifier(device, 57, 0)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await judge(device)
    text = (await look(device)).as_text()
    assert "many replayed" in text
    assert not {"36", "57"} & set(text.replace(":", " ").split())


async def test_a_power_above_its_class_is_told(device: Device, server: HonestServer) -> None:
    server.put_feeds(median_tx_dbm={"high": -50})
    await hear_one_identifier(device, 3, 0)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await judge(device)
    assert (await look(device)).strange_sightings == {"power-capped": "few"}


async def test_without_anything_strange_nothing_is_said(device: Device, server: HonestServer) -> None:
    await hear_one_identifier(device, 3, 0)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await judge(device)
    found = await look(device)
    assert found.strange_sightings == {}
    assert "strange" not in found.as_text()


async def test_the_counts_are_forgotten_with_their_day(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await hear_one_identifier(device, 10, 4 * HOUR_S)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await judge(device)
    await clock.run_for((KEPT_DAYS + 1) * DAY_S)
    await forget(device)
    assert await device.database.read(anomalies.remembered, device.vault) == {}
    await judge(device)
    assert (await look(device)).strange_sightings == {}
    assert await active_alerts(device) == []


async def test_damaged_counts_cost_only_themselves(device: Device, server: HonestServer) -> None:
    await hear_one_identifier(device, 10, 4 * HOUR_S)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    await device.database.write(
        lambda connection: connection.execute(
            "INSERT INTO anomalies (day, sealed) SELECT day, zeroblob(40) FROM anomalies"
        )
    )
    assert await device.database.read(anomalies.remembered, device.vault) == {Anomaly.FAR_IN_TIME: 10}
    assert (await look(device)).damaged_entries == 1
