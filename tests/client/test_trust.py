"""Every way in which a clock can be wrong, each made on a daemon at work; and each witness alone, as a table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import pytest

from forewarn_client import trust as trust_module
from forewarn_client.config import ClientSettings
from forewarn_client.connection import ServerTime
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.forgetting import forget
from forewarn_client.judging import judge
from forewarn_client.radio.loopback import Air, LoopbackRadio, Transmission
from forewarn_client.status import CANNOT_KNOW, NOTHING_TO_DO, Status, look
from forewarn_client.timing import Timing
from forewarn_client.trust import CONFIRMED_AFTER_S, TOLERATED_S, Count, Evidence, Verdict, weigh
from forewarn_protocol.advertisement import Payload
from forewarn_shell.clock import Keeper
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import HonestServer, serving
from tests.client.meetings import confirmed, key_of_day, meet, phone

HOUR_S, DAY_S = 3600, 86_400
NTP, RTC, NOBODY = Keeper.TIME_SERVICE, Keeper.REAL_TIME_CLOCK, Keeper.NOBODY
DAEMON = Count(NOON_S, HOUR_S, NTP, sure=True)
LONG_AGO_S = NOON_S - 20 * DAY_S


@pytest.mark.parametrize(
    ("evidence", "doubt"),
    [
        # Who tells the time first.
        (Evidence(NOON_S, NTP), None),
        (Evidence(NOON_S, RTC), None),
        (Evidence(NOON_S, NOBODY), "clock.nobody"),
        (Evidence(NOON_S, NOBODY, server_s=NOON_S + 60), None),
        # The authority's word is a bound from below that neither network time nor the server's Date overrules.
        (Evidence(NOON_S, NTP, signed_s=NOON_S + TOLERATED_S), None),
        (Evidence(NOON_S, NTP, signed_s=NOON_S + TOLERATED_S + 1), "clock.signed"),
        (Evidence(NOON_S, NTP, signed_s=NOON_S + DAY_S, server_s=NOON_S, server_decides=True), "clock.signed"),
        (Evidence(NOON_S, NTP, signed_s=NOON_S - 30 * DAY_S), None),
        # A Date decides if it is proven; else network time goes before it.
        (Evidence(NOON_S, NTP, server_s=NOON_S + 3 * HOUR_S, server_decides=True), "clock.server"),
        (Evidence(NOON_S, NTP, server_s=NOON_S - 3 * HOUR_S, server_decides=True), "clock.server"),
        (Evidence(NOON_S, NTP, server_s=NOON_S - 3 * HOUR_S), None),
        (Evidence(NOON_S, RTC, server_s=NOON_S - 3 * HOUR_S), "clock.server"),
        # The device's own count shows every step, and only a server that decides, or a better keeper, explains one.
        (Evidence(NOON_S, NTP, count=DAEMON), None),
        (Evidence(NOON_S - 3 * HOUR_S, NTP, count=DAEMON), "clock.stepped"),
        (Evidence(NOON_S + 3 * HOUR_S, NTP, count=DAEMON), "clock.stepped"),
        (Evidence(NOON_S + 3 * HOUR_S, NTP, count=DAEMON, server_s=NOON_S + 3 * HOUR_S), "clock.stepped"),
        (Evidence(NOON_S + DAY_S, NTP, count=DAEMON, server_s=NOON_S + DAY_S, server_decides=True), None),
        (Evidence(NOON_S + 3 * HOUR_S, NTP, count=replace(DAEMON, keeper=RTC)), None),
        (Evidence(NOON_S, NOBODY, count=DAEMON), None),
        # After a restart the diary's last sure time is left of the count.
        (Evidence(NOON_S - 3 * HOUR_S, NTP, written_as_well_kept_s=NOON_S), "clock.written"),
        (Evidence(NOON_S + 20 * DAY_S, NTP, written_as_well_kept_s=NOON_S), None),
        (Evidence(NOON_S, NTP, written_as_well_kept_s=NOON_S + DAY_S, server_s=NOON_S, server_decides=True), None),
    ],
)  # fmt: skip
def test_a_clock_is_believed_by_its_best_witness(evidence: Evidence, doubt: str | None) -> None:
    assert weigh(evidence).doubt == doubt


@pytest.mark.parametrize(
    ("evidence", "reached_s"),
    [
        (Evidence(NOON_S, NTP), NOON_S),
        (Evidence(NOON_S, NTP, written_s=NOON_S - 2 * DAY_S), NOON_S),
        # Ahead of all that is known: switched off in a drawer, or a step? By the clock alone nothing is forgotten.
        (Evidence(NOON_S, NTP, written_s=LONG_AGO_S), LONG_AGO_S),
        (Evidence(NOON_S, NTP, written_s=LONG_AGO_S, signed_s=NOON_S - HOUR_S), NOON_S),
        (Evidence(NOON_S, NTP, written_s=LONG_AGO_S, server_s=NOON_S, server_decides=True), NOON_S),
        (Evidence(NOON_S, RTC, written_s=LONG_AGO_S, count=Count(NOON_S, HOUR_S, RTC, sure=False)), LONG_AGO_S),
        (Evidence(NOON_S, RTC, written_s=LONG_AGO_S, count=Count(NOON_S, CONFIRMED_AFTER_S, RTC, sure=False)), NOON_S),
        (Evidence(NOON_S + 20 * DAY_S, NTP, count=DAEMON), NOON_S),
        # A server that signs the future destroys nothing: it takes the clock, too.
        (Evidence(NOON_S, NTP, signed_s=NOON_S + 20 * DAY_S), NOON_S),
        (Evidence(0, NOBODY, signed_s=NOON_S), 0),
        (Evidence(NOON_S, NOBODY), 0),
    ],
)  # fmt: skip
def test_a_day_is_forgotten_when_two_witnesses_say_that_it_is_over(evidence: Evidence, reached_s: float) -> None:
    assert weigh(evidence).reached_s == reached_s


class Listener(Air):
    """An air on which a neighbour speaks, and which keeps what the device under test says."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, self)
        self.said: list[Transmission] = []

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        return -55 if (sender, receiver) == ("neighbour", "self") and monotonic_s >= 0 else None

    def begin(self, transmission: Transmission) -> None:
        self.said.append(transmission)
        super().begin(transmission)


class Scene:
    """A daemon at work beside a neighbour, and what it said and recorded."""

    def __init__(self, settings: ClientSettings, clock: VirtualClock, air: Listener, radio: LoopbackRadio) -> None:
        self.settings, self.clock, self.air, self.radio = settings, clock, air, radio

    async def status(self) -> Status:
        async with Device.open(self.settings, self.clock) as device:
            return await look(device)

    async def windows(self) -> int:
        async with Device.open(self.settings, self.clock) as device:
            return int(
                await device.database.read(lambda c: c.execute("SELECT count(*) FROM scan_windows").fetchone()[0])
            )

    async def is_mute(self, seconds: float = 3 * HOUR_S) -> bool:
        """Let time run, and tell whether the device neither spoke nor recorded; half an hour to notice."""
        await self.clock.run_for(1800)
        before = (len(self.air.said), await self.windows())
        await self.clock.run_for(seconds)
        after = (len(self.air.said), await self.windows())
        assert (before[0] == after[0]) == (before[1] == after[1])
        return before == after


@asynccontextmanager
async def at_work(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[Scene]:
    air = Listener(clock)
    timing = Timing(random=Random(3))
    neighbour, radio = LoopbackRadio(air, "neighbour", timing), LoopbackRadio(air, "self", timing)
    await neighbour.start()
    await neighbour.advertise(Payload.from_service_data(bytes(20)))
    air.said.clear()
    task = asyncio.create_task(Daemon(settings, clock, radio, timing).run())
    await clock.run_for(0)
    try:
        yield Scene(settings, clock, air, radio)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    said = [transmission.advertisement for transmission in air.said]
    assert len(said) == len(set(said)), "an identifier was spoken twice"


async def test_with_nobody_who_vouches_for_the_clock_the_device_is_mute_until_somebody_does(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    clock.keeper = NOBODY
    async with at_work(settings, clock) as scene:
        assert await scene.is_mute()
        told = await scene.status()
        assert "chưa có gì xác nhận giờ" in told.check_text
        assert told.check == CANNOT_KNOW
        clock.keeper = RTC
        assert not await scene.is_mute()
        assert (await scene.status()).clock_doubt is None


async def test_a_closed_site_without_network_works_by_its_real_time_clock_and_forgets_a_day_after_a_long_pause(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    clock.keeper = RTC
    async with at_work(settings, clock) as scene:
        assert not await scene.is_mute()
    await clock.run_for(16 * DAY_S)
    async with at_work(settings, clock) as scene:
        assert not await scene.is_mute()
        told = await scene.status()
        assert date(2025, 6, 16) in told.encounters
        assert "waits until the clock is sure" in told.as_text()
        await clock.run_for(CONFIRMED_AFTER_S)
        told = await scene.status()
        assert date(2025, 6, 16) not in told.encounters
        assert told.forgetting_overdue_since_s is None


@pytest.mark.parametrize("step_s", [3 * HOUR_S, -3 * HOUR_S, 20 * DAY_S, -20 * DAY_S, -NOON_S + 60])
async def test_a_clock_that_steps_mutes_the_device_and_its_return_wakes_it(
    settings: ClientSettings, clock: VirtualClock, step_s: float
) -> None:
    async with at_work(settings, clock) as scene:
        assert not await scene.is_mute()
        heard = (await scene.status()).encounters
        clock.jump(step_s)
        assert await scene.is_mute()
        told = await scene.status()
        assert told.check == CANNOT_KNOW
        assert told.clock_doubt is not None
        assert set(heard) <= set(told.encounters), "a step destroyed the diary"
        clock.jump(-step_s)
        assert not await scene.is_mute()
        assert (await scene.status()).clock_doubt is None
        assert set(heard) <= set((await scene.status()).encounters)


async def test_without_trust_a_jump_into_the_future_destroys_the_diary_and_what_is_said_matches_nothing(
    settings: ClientSettings, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the tests above: the same scene with the protection off."""
    monkeypatch.setattr(
        trust_module, "weigh", lambda evidence: Verdict(evidence.now_s, None, 0.0, sure=True, reached_s=evidence.now_s)
    )
    async with at_work(settings, clock) as scene:
        assert not await scene.is_mute()
        heard = set((await scene.status()).encounters)
        clock.jump(20 * DAY_S)
        assert not await scene.is_mute()
        assert not heard & set((await scene.status()).encounters)


@pytest.mark.parametrize("off_s", [3 * HOUR_S, -3 * HOUR_S, 20 * DAY_S, -20 * DAY_S])
async def test_a_device_that_is_wrong_from_the_start_falls_silent_at_its_first_fetch_and_speaks_when_it_is_set_right(
    tmp_path: Path, off_s: float
) -> None:
    wrong = VirtualClock(NOON_S + off_s)
    wrong.keeper = RTC
    right = _RightBeside(wrong, -off_s)
    async with serving(right) as server:
        server.on_request = server.put_feeds  # as a server does each hour
        settings = ClientSettings(
            data=tmp_path / "d", server=server.url, public_key=(server.public_key,), language="en"
        )
        async with at_work(settings, wrong) as scene:
            assert await scene.is_mute()
            told = await scene.status()
            assert "set the clock" in (told.clock_doubt or "")
            assert told.check == CANNOT_KNOW
            wrong.jump(-off_s)
            right.offset_s = 0
            assert not await scene.is_mute()
            await wrong.run_for(5 * HOUR_S)
            assert (await scene.status()).check == NOTHING_TO_DO


class _RightBeside:
    """The true time, beside a clock that is wrong by so much."""

    def __init__(self, wrong: VirtualClock, offset_s: float) -> None:
        self._wrong, self.offset_s = wrong, offset_s

    def utc(self) -> float:
        return self._wrong.utc() + self.offset_s

    def monotonic(self) -> float:
        return self._wrong.monotonic()

    async def sleep_until(self, monotonic_s: float) -> None:
        await self._wrong.sleep_until(monotonic_s)

    def suspended_s(self) -> float:
        return 0.0

    def kept_by(self) -> Keeper:
        return NTP


async def test_a_stranger_who_sets_the_time_service_back_gains_nothing_after_the_last_signed_feed(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    """Attack 14: the network's time says two days ago, over a restart too; the feeds of today speak against it."""
    async with phone(server, tmp_path, clock) as device:
        await fetch(device)
    clock.jump(-2 * DAY_S)
    async with at_work(ClientSettings(data=tmp_path, public_key=(server.public_key,)), clock) as scene:
        assert await scene.is_mute()
        clock.jump(2 * DAY_S)
        assert not await scene.is_mute()


async def test_a_clock_ahead_during_a_fetch_costs_no_warning(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    """A file is done once: matched by a clock that calls every sighting old, it would never warn anybody."""
    case = key_of_day(NOON_S - DAY_S, 1)
    async with phone(server, tmp_path, clock) as device:
        await meet(device, case, NOON_S - DAY_S, 30)
        await device.trust.watch()
        server.put_export([confirmed(case)])
        clock.jump(20 * DAY_S)
        await fetch(device)
        clock.jump(-20 * DAY_S)
        assert [alert.day for alert in await judge(device)] == [date(2025, 6, 15)]


async def test_a_clock_ahead_of_a_restart_forgets_nothing_until_the_server_confirms_it(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await meet(device, key_of_day(NOON_S, 1), NOON_S, 30)
        await device.trust.watch()
    await clock.run_for(20 * DAY_S)  # in a drawer, this time
    async with phone(server, tmp_path, clock) as device:
        assert not await forget(device)
        assert await device.diary.sightings(date(2025, 6, 16))
        told = replace(await look(device), running=True)
        assert "waits until the clock is sure" in told.as_text()
        server.put_feeds()
        await fetch(device)
        assert await forget(device)
        assert not await device.diary.sightings(date(2025, 6, 16))


async def test_many_small_steps_are_seen_as_one(device: Device, clock: VirtualClock) -> None:
    await device.trust.look()
    for _ in range(3):
        clock.jump(-TOLERATED_S / 2)
        verdict = await device.trust.look()
    assert verdict.doubt == "clock.stepped"


async def test_a_real_time_clock_that_was_ahead_does_not_hold_up_the_time_service(
    device: Device, clock: VirtualClock
) -> None:
    clock.keeper = RTC
    clock.jump(20 * DAY_S)
    await device.trust.watch()
    clock.keeper = NTP
    clock.jump(-20 * DAY_S)
    assert (await device.trust.watch()).trusted


@pytest.mark.parametrize(("https", "signed_ago_s", "proven"), [(True, 9, True), (False, 1, True), (False, 3, False)])
async def test_a_date_proves_the_time_by_tls_or_beside_feeds_signed_within_two_hours(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, *, https: bool, signed_ago_s: int, proven: bool
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await fetch(device)
        await device.trust.look()
        clock.jump(signed_ago_s * HOUR_S)
        device.trust.hear_server(ServerTime(clock.utc(), clock.monotonic(), is_named=https))
        assert (await device.trust.look()).trusted is proven


async def test_a_caches_old_date_is_no_proof_against_the_clock(server: HonestServer, tmp_path: Path) -> None:
    clock = VirtualClock(NOON_S)
    async with phone(server, tmp_path, clock) as device:
        device.trust.hear_server(ServerTime(NOON_S - 3 * HOUR_S, clock.monotonic(), is_named=True))
        assert not (await device.trust.look()).trusted
        await fetch(device)
        assert (await device.trust.look()).trusted
