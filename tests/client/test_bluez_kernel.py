"""The radio `bluez` where bluetoothd refuses every advertisement: the kernel speaks, and nothing stays behind."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload, encode
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import ScaledClock
from tests.client.fake_bluez import PUBLIC, FakeBluez, fake_bluez
from tests.client.fake_kernel import INSTANCES
from tests.client.test_bluez import lost, now_speaking, payload
from tests.waiting import until

TIMING = Timing(random=Random(3))
PARAMETERS, DATA, ADVERTISING, REMOVE = 0x54, 0x55, 0x3E, 0x3F
UNKNOWN_COMMAND, NOT_POWERED, BUSY = 0x01, 0x0F, 0x0A


@pytest.fixture
async def fake(system_bus: str) -> AsyncIterator[FakeBluez]:
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 20), refuses_all=True) as fake:
        fake.kernel.trusted = True
        fake.adapter("hci0")
        yield fake


@pytest.fixture
async def radio(fake: FakeBluez) -> AsyncIterator[BluezRadio]:
    radio = fake.radio("hci0", TIMING)
    await radio.start()
    yield radio
    await radio.close()
    assert now_speaking(fake) == []


async def test_what_bluetoothd_refuses_the_kernel_speaks_byte_for_byte(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    instance = fake.kernel.instances[0]
    assert instance.data == encode(payload(1))
    assert instance.data[:3] == b"\x02\x01\x1a"
    assert 0.199 < instance.interval_s < 0.271
    assert not instance.flags & 1, "connectable: sent from the public address"


async def test_bluetoothd_is_asked_again_only_when_it_has_ended(fake: FakeBluez, radio: BluezRadio) -> None:
    """Each of its refusals is outwaited, which takes seconds of silence."""
    await radio.advertise(payload(1))
    assert fake.calls.count("RegisterAdvertisement") == 5
    await radio.advertise(payload(2))
    assert fake.calls.count("RegisterAdvertisement") == 5
    assert now_speaking(fake) == [bytes([2]) * 20]
    await fake.vanish()
    await lost(radio, fake)
    await radio.stop_advertising()
    fake.refuses_all = False
    await fake.appear()
    await radio.start()
    await radio.advertise(payload(3))
    assert [spoken.sender[0] for spoken in fake.adapter("hci0").spoken] == [":"]


async def test_an_older_kernel_is_asked_in_the_older_way(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.kernel.wrong[PARAMETERS] = [UNKNOWN_COMMAND]
    await radio.advertise(payload(1))
    assert fake.kernel.instances[0].data == encode(payload(1))
    assert fake.kernel.asked[-3:] == [PARAMETERS, REMOVE, ADVERTISING]


@pytest.mark.parametrize("number", [PARAMETERS, DATA])
async def test_a_kernel_that_refuses_leaves_silence_and_a_sentence(
    fake: FakeBluez, radio: BluezRadio, number: int
) -> None:
    fake.kernel.wrong[number] = [BUSY]
    with pytest.raises(Missing, match="both refuse to advertise"):
        await radio.advertise(payload(1))
    assert fake.kernel.asked[-1] == REMOVE
    assert now_speaking(fake) == []
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_an_advertisement_of_which_nobody_knows_whether_it_began_is_removed(fake: FakeBluez) -> None:
    radio = fake.radio("hci0", TIMING)
    await radio.start()
    fake.kernel.wrong[DATA] = [None]
    radio._management._patience_s = 0.5
    with pytest.raises(Missing, match="kernel's Bluetooth does not answer"):
        await radio.advertise(payload(1))
    assert fake.kernel.asked[-1] == REMOVE
    await radio.close()


async def test_what_the_kernel_will_not_end_is_ended_before_anything_else_is_spoken(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    fake.kernel.wrong[REMOVE] = [BUSY, BUSY]
    with pytest.raises(Missing, match="does not end an advertisement"):
        await radio.stop_advertising()
    with pytest.raises(Missing, match="does not end an advertisement"):
        await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([1]) * 20]
    await radio.advertise(payload(3))
    assert now_speaking(fake) == [bytes([3]) * 20]


@pytest.mark.parametrize(("extended", "seconds"), [(False, 1260), (True, 0)])
async def test_the_kernel_ends_it_by_itself_after_the_longest_rotation_where_it_counts_right(
    fake: FakeBluez, *, extended: bool, seconds: int
) -> None:
    fake.kernel.extended = extended
    radio = fake.radio("hci0", TIMING)
    await radio.start()
    await radio.advertise(payload(1))
    assert fake.kernel.instances[0].ends_after_s == seconds
    await radio.close()


async def test_what_a_process_that_died_has_left_is_removed_at_the_next_start(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    after_it = fake.radio("hci0", TIMING)
    assert now_speaking(fake) == [bytes([1]) * 20]
    await after_it.start()
    assert now_speaking(fake) == []
    await after_it.advertise(payload(2))
    await after_it.start()
    assert now_speaking(fake) == [bytes([2]) * 20], "its own is no other's"
    await after_it.close()


async def test_a_start_that_cannot_remove_what_was_left_tries_again(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    fake.kernel.wrong[REMOVE] = [BUSY]
    after_it = fake.radio("hci0", TIMING)
    with pytest.raises(Missing, match="does not end an advertisement"):
        await after_it.start()
    await after_it.start()
    assert now_speaking(fake) == []
    await after_it.close()


async def test_an_advertisement_that_the_kernel_ends_is_followed_by_another(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    asyncio.get_running_loop().call_later(0.01, fake.kernel.remove, 0)
    assert "a new one follows" in await lost(radio, fake)
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_what_returns_at_power_on_is_removed_at_once(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.legacy = True
    await radio.advertise(payload(1))
    fake.kernel.wrong[REMOVE] = [NOT_POWERED]
    await fake.power("hci0", on=False)
    await lost(radio, fake)
    with pytest.raises(Missing, match="does not end an advertisement"):
        await radio.stop_advertising()
    await fake.power("hci0", on=True)
    assert now_speaking(fake) == [bytes([1]) * 20], "the fake no longer does what kernels do"
    await until(lambda: now_speaking(fake) == [])
    await radio.start()
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_a_rotation_by_the_kernel_stops_the_scan_first_too(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    hearing = asyncio.create_task(anext(radio.scan(2), None))
    await until(lambda: bool(fake.adapter("hci0").monitors))
    fake.calls.clear()
    await radio.advertise(payload(2))
    assert fake.calls[:2] == ["UnregisterMonitor", "RegisterMonitor"]
    assert fake.kernel.asked[-3:] == [REMOVE, PARAMETERS, DATA]
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


async def test_the_kernel_too_never_speaks_on_an_adapter_that_others_may_connect_to(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    await fake.make_discoverable("hci0", on=True, told_by="kernel")
    assert "its lasting address" in await lost(radio, fake)
    await radio.stop_advertising()
    told = len(fake.on_air)
    with pytest.raises(Missing, match="its lasting address"):
        await radio._kernel.begin(encode(Payload.from_service_data(bytes(20))), 0.25)
    assert len(fake.on_air) == told
    assert fake.on_air[-1][1] == PUBLIC, "the fake no longer does what kernels do"


async def test_on_an_adapter_with_one_instance_nothing_of_bluetoothds_is_removed(
    fake: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.client.fake_kernel.INSTANCES", 1)
    assert INSTANCES > 1
    fake.kernel.asked.clear()
    radio = fake.radio("hci0", TIMING)
    await radio.start()
    assert REMOVE not in fake.kernel.asked
    await radio.close()
