"""What every radio keeps to, heard by a second radio of the same kind.

A radio joins by a class like `Loopback` below, named in `WORLDS`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from random import Random
from typing import Protocol

import pytest

from forewarn_client.calibrating.bench import Bench, measure, serve
from forewarn_client.calibrating.estimating import Known
from forewarn_client.radio import AdvertisingReport, Capabilities, Radio
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock
from forewarn_simulations.clocks import VirtualClock
from tests.client.calibrating.virtual_bench import Hand
from tests.contracts import air_log
from tests.contracts.air_log import Sent
from tests.contracts.bluez_worlds import bluez
from tests.contracts.hci_worlds import Hci, LegacyHci

TIMING = Timing(random=Random(11))


class World(Protocol):
    """Where radios of one kind hear each other."""

    clock: Clock

    def radio(self, name: str, *, broken: bool = False) -> Radio:
        """Return a radio; a broken one keeps its address when the identifier changes."""
        ...


class SameRoom:
    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        return -60 if monotonic_s >= 0 and sender != receiver else None


class BrokenLoopback(LoopbackRadio):
    def _new_address(self) -> bytes:
        return bytes(5) + b"\x01"


class Loopback:
    def __init__(self) -> None:
        self.clock: Clock = VirtualClock(1_750_000_000)
        self._air = Air(self.clock, SameRoom())

    def radio(self, name: str, *, broken: bool = False) -> Radio:
        return (BrokenLoopback if broken else LoopbackRadio)(self._air, name, TIMING)


Opening = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[World]]


def by_itself(kind: Callable[[], World]) -> Opening:
    """Open a world that needs nothing of the machine."""

    @asynccontextmanager
    async def opening(request: pytest.FixtureRequest) -> AsyncIterator[World]:
        del request
        yield kind()

    return opening


WORLDS: dict[str, Opening] = {
    "bluez": bluez(),
    "bluez, by the kernel": bluez(tapped=True, refuses=True),
    "bluez, tapped": bluez(tapped=True),
    "hci, extended": by_itself(Hci),
    "hci, legacy": by_itself(LegacyHci),
    "loopback": by_itself(Loopback),
}


@pytest.fixture(params=sorted(WORLDS))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with WORLDS[request.param](request) as world:
        yield world


def payload(number: int) -> Payload:
    return Payload.from_service_data(bytes([number]) * 20)


async def listen(radio: Radio, seconds: float) -> list[AdvertisingReport]:
    return [report async for report in radio.scan(seconds)]


async def started(world: World, *names: str) -> list[Radio]:
    radios = [world.radio(name) for name in names]
    for radio in radios:
        await radio.start()
    return radios


async def test_starting_says_what_the_radio_can_do(world: World) -> None:
    radio = world.radio("a")
    capabilities = await radio.start()
    assert isinstance(capabilities, Capabilities)
    assert capabilities.tx_power_range_dbm[0] <= capabilities.tx_power_range_dbm[1]
    await radio.close()


async def test_what_one_radio_speaks_the_other_hears_many_times_in_a_window(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    await speaker.advertise(payload(1))
    opened_s = world.clock.monotonic()
    reports = await listen(hearer, 4)
    assert 4 / 0.3 < len(reports) < 4 / 0.19
    assert {report.service_data for report in reports} == {bytes([1]) * 20}
    assert all(-127 < report.rssi_dbm <= 20 for report in reports)
    times = [report.monotonic_s for report in reports]
    assert times == sorted(times)
    assert opened_s <= times[0] <= times[-1] < opened_s + 4 <= world.clock.monotonic()
    await asyncio.gather(speaker.close(), hearer.close())


async def test_a_radio_hears_others_while_it_speaks_and_not_itself(world: World) -> None:
    one, other = await started(world, "a", "b")
    await one.advertise(payload(1))
    await other.advertise(payload(2))
    assert {report.service_data[0] for report in await listen(one, 4)} == {2}
    assert {report.service_data[0] for report in await listen(other, 4)} == {1}
    await asyncio.gather(one.close(), other.close())


async def test_nothing_is_on_the_air_before_the_first_payload_nor_after_the_last(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    assert await listen(hearer, 4) == []
    await speaker.stop_advertising()  # harmless
    await speaker.advertise(payload(1))
    await listen(hearer, 1)
    await speaker.stop_advertising()
    await speaker.stop_advertising()
    assert await listen(hearer, 4) == []
    await speaker.advertise(payload(2))
    assert {report.service_data[0] for report in await listen(hearer, 4)} == {2}
    await speaker.close()
    await speaker.close()
    assert await listen(hearer, 4) == []
    await hearer.close()


def links(reports: list[AdvertisingReport]) -> list[str]:
    """Return how a listener could join two identifiers of one device; empty when it could not."""
    return air_log.links([Sent(heard.monotonic_s, "a", heard.address, heard.service_data) for heard in reports])


async def rotations(world: World, speaker: Radio, count: int) -> list[AdvertisingReport]:
    (hearer,) = await started(world, "sniffer")
    reports = []
    for number in range(count):
        await speaker.advertise(payload(number + 1))
        reports += await listen(hearer, 3)
    await hearer.close()
    await speaker.close()
    return reports


async def test_identifier_and_address_change_together(world: World) -> None:
    (speaker,) = await started(world, "a")
    reports = await rotations(world, speaker, 6)
    assert {report.service_data[0] for report in reports} == set(range(1, 7))
    assert links(reports) == []


async def test_the_sniffer_sees_a_broken_rotation(world: World) -> None:
    """Positive control: a radio that keeps its address is caught by the same check."""
    speaker = world.radio("a", broken=True)
    await speaker.start()
    assert links(await rotations(world, speaker, 3)) == ["one address spoke two identifiers"]


async def test_an_address_is_random_and_non_resolvable(world: World) -> None:
    (speaker,) = await started(world, "a")
    addresses = {report.address for report in await rotations(world, speaker, 8)}
    assert len(addresses) == 8
    assert all(len(address) == 6 and address[0] >> 6 == 0 for address in addresses)


async def test_the_interval_is_200_to_270_ms_and_drawn_afresh(world: World) -> None:
    (speaker,) = await started(world, "a")
    by_identifier: dict[int, list[float]] = {}
    for report in await rotations(world, speaker, 6):
        by_identifier.setdefault(report.service_data[0], []).append(report.monotonic_s)
    intervals = [
        (times[-1] - times[0]) / (len(times) - 1) for times in by_identifier.values()
    ]  # the mean: a controller may add up to 10 ms to each
    assert all(0.199 <= interval <= 0.281 for interval in intervals), intervals
    assert len({round(interval, 3) for interval in intervals}) >= 4


async def test_a_rotation_that_is_cancelled_leaves_silence_or_the_new_identifier(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    await speaker.advertise(payload(1))
    await listen(hearer, 1)
    rotation = asyncio.create_task(speaker.advertise(payload(2)))
    await asyncio.sleep(0)
    rotation.cancel()
    await asyncio.gather(rotation, return_exceptions=True)
    await listen(hearer, 1)
    assert {report.service_data[0] for report in await listen(hearer, 3)} <= {2}
    await asyncio.gather(speaker.close(), hearer.close())


async def test_a_scan_may_be_left_early_and_begun_again(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    await speaker.advertise(payload(1))
    async with aclosing(hearer.scan(2)) as reports:
        async for _ in reports:
            break
    assert await listen(hearer, 2)
    await asyncio.gather(speaker.close(), hearer.close())


async def test_a_closed_radio_says_so_and_can_be_started_again(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    await speaker.close()
    with pytest.raises(Missing):
        await speaker.advertise(payload(1))
    with pytest.raises(Missing):
        await listen(speaker, 1)
    await speaker.start()
    await speaker.advertise(payload(1))
    assert await listen(hearer, 2)
    await asyncio.gather(speaker.close(), hearer.close())


async def test_a_report_shows_neither_address_nor_identifier(world: World) -> None:
    speaker, hearer = await started(world, "a", "b")
    await speaker.advertise(payload(0x41))
    report = (await listen(hearer, 2))[0]
    assert "AAAA" not in repr(report)
    assert repr(report.address) not in repr(report)
    await asyncio.gather(speaker.close(), hearer.close())


async def test_two_radios_measure_each_other_at_a_bench(world: World) -> None:
    """The calibration speaks frames of its own by the same calls as the daemon."""
    known = Known(tx_power_dbm=-20, correction_db=3)
    ends = [Bench(world.radio(name), world.clock) for name in ("a", "b")]

    listening = asyncio.Event()
    reference = asyncio.create_task(serve(ends[0], known, ready=listening.set, told=lambda *_: None))
    await listening.wait()
    heard_of, turns = await measure(ends[1], 2, Hand())
    reference.cancel()
    await asyncio.gather(reference, return_exceptions=True)
    assert heard_of == known
    assert {round(heard.median_dbm) for turn in turns for heard in (turn.here, turn.there)} == {-60}
