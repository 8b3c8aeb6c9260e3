"""What an attacker still gains where the protocol has no full answer: relays, flipped power bits, floods; measured."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forewarn_client.alerts import Alert
from forewarn_client.device import Device
from forewarn_client.diary.block import Samples, ScanWindow, strongest
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge, judge_diary
from forewarn_protocol import matching
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.identifiers import EncryptedMetadata
from forewarn_protocol.intervals import interval_at
from forewarn_protocol.matching import Match
from forewarn_protocol.sightings import Sighting
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import NEAR_DBM, TX_DBM, confirmed, heard, key_of_day, meet, phone

YESTERDAY_S = NOON_S - DAY_S
CASE = key_of_day(YESTERDAY_S, 1)
WINDOW_S = 240
MINUTE_S = 60
LOUDEST_DBM = -30
PLAUSIBLE_DBM = range(-50, 21)


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    async with phone(server, tmp_path / "phone", clock) as opened:
        yield opened


async def replay(device: Device, minutes: int, late_s: int) -> None:
    """Let a device hear one identifier of `CASE`, taken elsewhere, again and again, from `late_s` after its time on."""
    taken = heard(CASE, YESTERDAY_S, LOUDEST_DBM)
    for at_s in range(0, minutes * MINUTE_S, WINDOW_S):
        await device.diary.record(ScanWindow.of([replace(taken, time_s=YESTERDAY_S + late_s + at_s)]))


async def relay(device: Device, minutes: int, late_s: int) -> None:
    """Let a device hear all that `CASE` says elsewhere, so much later: a wormhole."""
    for at_s in range(0, minutes * MINUTE_S, WINDOW_S):
        spoken = heard(CASE, YESTERDAY_S + at_s, LOUDEST_DBM)
        await device.diary.record(ScanWindow.of([replace(spoken, time_s=spoken.time_s + late_s)]))


async def judged(device: Device, server: HonestServer, **configuration: Any) -> tuple[list[Alert], list[Match]]:
    """Publish `CASE` and return what the device tells its person, and the matches that it rests on."""
    server.put_feeds(**configuration)
    server.put_export([confirmed(CASE)])
    await fetch(device)
    alerts = await judge(device)
    judgement = await judge_diary(device)
    return alerts, list(judgement.matches) if judgement else []


def minutes_heard(matches: Iterable[Match]) -> float:
    """Return the time from the first to the last sighting of each match, in minutes."""
    return sum((match.sightings[-1].time_s - match.sightings[0].time_s) / MINUTE_S for match in matches)


async def test_one_identifier_replayed_for_hours_counts_for_twenty_minutes_and_is_marked_weak(
    device: Device, server: HonestServer, figure: Callable[[str], None]
) -> None:
    await replay(device, minutes=110, late_s=0)
    alerts, matches = await judged(device, server)
    assert minutes_heard(matches) <= matching.REPLAY_GUARD_S / MINUTE_S
    assert [alert.weak for alert in alerts] == [True]
    figure(
        f"one identifier replayed for 110 min beside a device: {minutes_heard(matches):.0f} min count, "
        f"'about {alerts[0].minutes} minutes' are told, marked as weaker evidence"
    )


async def test_without_the_guard_the_same_replay_counts_for_hours(
    device: Device, server: HonestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the check above."""
    monkeypatch.setitem(matching.match.__kwdefaults__, "replay_guard_s", float("inf"))
    await replay(device, minutes=110, late_s=0)
    _, matches = await judged(device, server)
    assert minutes_heard(matches) > 100


async def test_an_authority_can_demand_two_identifiers_and_a_replay_of_one_then_tells_nothing(
    device: Device, server: HonestServer
) -> None:
    await replay(device, minutes=110, late_s=0)
    alerts, _ = await judged(device, server, minimum_distinct_rpis=2)
    assert alerts == []


async def test_a_relay_works_inside_the_tolerance_and_not_beyond_it(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, figure: Callable[[str], None]
) -> None:
    """The protocol's limit, said plainly: who carries identifiers elsewhere within the tolerance invents a meeting."""
    longest: dict[int, int] = {}
    for tolerance, step_min in ((12, 20), (2, 10)):
        for late_min in range(0, 8 * step_min, step_min):
            name = f"{tolerance}-{late_min}"
            async with phone(server, tmp_path / name, clock) as victim:
                await relay(victim, minutes=30, late_s=late_min * MINUTE_S)
                alerts, _ = await judged(victim, server, tolerance_intervals=tolerance)
                if alerts:
                    longest[tolerance] = late_min
    assert longest[12] <= 120
    assert longest[2] <= 20
    figure(
        f"half an hour relayed to another place alerts if it comes at most {longest[12]} min late "
        f"(tolerance of 12 intervals), {longest[2]} min with a tolerance of 2"
    )


def flipped(sighting: Sighting, to_dbm: int) -> Sighting:
    """Return the sighting as somebody sends it on who flips the bits of the encrypted power; no key is needed."""
    aem = bytearray(sighting.payload.aem)
    aem[1] ^= (TX_DBM & 0xFF) ^ (to_dbm & 0xFF)
    return replace(sighting, payload=Payload(sighting.payload.rpi, EncryptedMetadata(bytes(aem))))


def shift_db(victim: Sighting, to_dbm: int, medians: dict[matching.Confidence, int]) -> float | None:
    """Return by how much the attenuation grows when the power is flipped to a value; None: the sighting is dropped."""
    attenuations = []
    for sighting in (victim, flipped(victim, to_dbm)):
        index = matching.SightingIndex([sighting])
        found = list(matching.match([confirmed(CASE)], index, median_tx_dbm=medians))
        if not found:
            return None
        attenuations.append(found[0].sightings[0].attenuation_db())
    return attenuations[1] - attenuations[0]


def test_flipped_power_bits_gain_no_more_than_the_plausible_range_and_the_cap_allow(
    figure: Callable[[str], None],
) -> None:
    victim = heard(CASE, YESTERDAY_S, -80)
    gains = {}
    for name, medians in (("without medians", {}), ("with them", {matching.Confidence.HIGH: TX_DBM})):
        shifts = {to_dbm: shift_db(victim, to_dbm, medians) for to_dbm in range(-128, 128)}
        taken = {to_dbm: shift for to_dbm, shift in shifts.items() if shift is not None}
        assert set(taken) == set(PLAUSIBLE_DBM)
        gains[name] = (min(taken.values()), max(taken.values()))
    # Louder on paper looks farther away: a contact is hidden, and the cap bounds that. Quieter on paper looks nearer,
    # no more than a transmitter of 30 dB more would.
    assert gains["without medians"] == (PLAUSIBLE_DBM[0] - TX_DBM, PLAUSIBLE_DBM[-1] - TX_DBM)
    assert gains["with them"][1] == matching.POWER_MARGIN_DB
    figure(
        "flipped power bits of a phone at -20 dBm move its attenuation by "
        + "; ".join(f"{least:+.0f} to {most:+.0f} dB {name}" for name, (least, most) in gains.items())
    )


def flood(identifiers: int, rssi_dbm: int) -> dict[bytes, Samples]:
    """Return so many invented identifiers, each heard once in a window."""
    return {number.to_bytes(20, "big"): [(number % 4000, rssi_dbm)] for number in range(identifiers)}


async def test_a_flood_costs_a_bounded_diary_and_hides_only_whom_it_outshouts(
    device: Device, figure: Callable[[str], None]
) -> None:
    maximum = device.settings.maximum_sightings_per_window
    neighbour = heard(CASE, YESTERDAY_S, NEAR_DBM)
    own = {neighbour.payload.service_data: [(0, NEAR_DBM)]}
    quieter = strongest({**flood(100_000, NEAR_DBM - 1), **own}, maximum)
    louder = strongest({**flood(100_000, NEAR_DBM + 1), **own}, maximum)
    assert neighbour.payload.service_data in quieter
    assert neighbour.payload.service_data not in louder
    window = ScanWindow(YESTERDAY_S, 150.0, quieter)
    assert window.count == maximum
    a_day_mb = len(window.encode()) * (DAY_S / 150) / 1e6
    figure(
        f"a flood of invented identifiers, day and night: at most {maximum} sightings a window, "
        f"{a_day_mb:.0f} MB of diary a day; it hides a neighbour only by outshouting them"
    )


async def test_a_neighbour_heard_in_the_flood_still_matches(device: Device, server: HonestServer) -> None:
    await meet(device, CASE, YESTERDAY_S, 30)
    for at_s in range(int(YESTERDAY_S), int(YESTERDAY_S) + 1800, WINDOW_S):
        await device.diary.record(ScanWindow(at_s + 10.0, 150.0, flood(4000, LOUDEST_DBM)))
    alerts, matches = await judged(device, server)
    assert len(alerts) == 1
    assert {interval_at(match.sightings[0].time_s) for match in matches} == {interval_at(YESTERDAY_S)}
