"""The radio `bluez` beside the kernel's management socket: every sample once, and never the adapter's own address."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn_client.radio import AdvertisingReport
from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.radio.bluez.management_packets import Packet, Sample, Tap
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import EXPOSURE_NOTIFICATION_UUID, Payload, encode
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import ScaledClock
from tests.client.fake_bluez import PUBLIC, FakeBluez, fake_bluez
from tests.client.fake_kernel import DEVICE_FOUND, MONITOR_FOUND, heard
from tests.fuzz.management import check

TIMING = Timing(random=Random(3))
ADDRESS = "0A:00:00:00:00:07"
PAYLOAD = Payload.from_service_data(bytes([7]) * 20)
SAID = encode(PAYLOAD)


@pytest.fixture
async def fake(system_bus: str) -> AsyncIterator[FakeBluez]:
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 20)) as fake:
        fake.kernel.trusted = True
        yield fake


@pytest.fixture
async def radios(fake: FakeBluez) -> AsyncIterator[tuple[BluezRadio, BluezRadio]]:
    for name in ("hci0", "hci1"):
        fake.adapter(name)
    one, other = fake.radio("hci0", TIMING), fake.radio("hci1", TIMING)
    await one.start()
    await other.start()
    yield one, other
    await one.close()
    await other.close()


async def listen(radio: BluezRadio, seconds: float) -> list[AdvertisingReport]:
    return [report async for report in radio.scan(seconds)]


async def first(radio: BluezRadio, count: int) -> list[int]:
    """Return the strengths of the first samples of a window that is left then, however slow this machine is."""
    strengths_dbm: list[int] = []
    async with aclosing(radio.scan(600)) as reports:
        async for report in reports:
            strengths_dbm.append(report.rssi_dbm)
            if len(strengths_dbm) == count:
                break
    return strengths_dbm


async def scanning(fake: FakeBluez, name: str) -> None:
    async with asyncio.timeout(5):
        while not fake.adapter(name).monitors:  # noqa: ASYNC110 - the fake has no event for each of its states
            await asyncio.sleep(0.001)


async def lost(radio: BluezRadio, fake: FakeBluez) -> str:
    with pytest.raises(Missing) as raised:
        await radio.stay_on_air(fake.clock.monotonic() + 600)
    return raised.value.message


def tap_of(*packets: tuple[int, bytes]) -> list[Sample]:
    """Return the samples in these events of one adapter."""
    tap = Tap(EXPOSURE_NOTIFICATION_UUID)
    taken = [tap.take(Packet(event, 0, body)) for event, body in packets]
    return [sample for sample in taken if sample is not None]


async def test_with_the_tap_a_passive_scanner_hears_every_advertisement_of_a_window(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    speaker, hearer = radios
    assert (await hearer.start()).every_rssi_sample
    await speaker.advertise(PAYLOAD)
    fake.strengths_dbm = itertools.count(-100)
    assert await first(hearer, 10) == list(range(-100, -90))
    assert "StartDiscovery" not in fake.calls, "nothing is to be asked of anybody"


async def test_where_bluetoothd_offers_no_passive_scan_the_kernel_scans_by_itself(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    speaker, hearer = radios
    fake.experimental = False
    assert (await hearer.start()).every_rssi_sample
    await speaker.advertise(PAYLOAD)
    fake.strengths_dbm = itertools.count(-100)
    hearing = asyncio.create_task(first(hearer, 10))
    await scanning(fake, "hci1")
    assert fake.kernel.monitors == {1: EXPOSURE_NOTIFICATION_UUID.to_bytes(2, "little")}
    assert await hearing == list(range(-100, -90))
    assert not {"RegisterMonitor", "StartDiscovery"} & set(fake.calls)
    assert fake.kernel.monitors == {}
    assert not fake.adapter("hci1").monitors, "the kernel was left scanning"


async def test_a_kernel_that_will_not_scan_by_itself_leaves_bluetoothds_active_scan(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    speaker, hearer = radios
    fake.experimental = False
    await hearer.start()
    await speaker.advertise(PAYLOAD)
    fake.kernel.wrong[0x52] = [0x0C]
    assert await first(hearer, 1)
    assert "StartDiscovery" in fake.calls


async def test_a_scan_that_a_process_left_behind_or_could_not_end_ends_at_the_next_start(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    _, hearer = radios
    fake.experimental = False
    fake.kernel.monitors[1] = b"of a process that died"
    await hearer.start()
    assert fake.kernel.monitors == {}
    fake.kernel.wrong[0x53] = [0x0A]
    await listen(hearer, 2)
    assert fake.kernel.monitors != {}
    await hearer.start()
    assert fake.kernel.monitors == {}


async def test_without_rights_the_same_passive_scanner_would_hear_one(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control of the test above: bluetoothd tells of changes of 8 dB or more. So an active one joins it."""
    speaker, hearer = radios
    fake.kernel.trusted = False
    assert not (await hearer.start()).every_rssi_sample
    await speaker.advertise(PAYLOAD)
    with monkeypatch.context() as without:
        without.setattr("forewarn_client.radio.bluez.management.Management.is_tapped", property(lambda _: True))
        assert await listen(hearer, 4) == []
    assert len(await first(hearer, 3)) == 3
    assert "StartDiscovery" in fake.calls


async def test_a_sample_of_another_adapter_or_outside_a_window_is_none(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    _, hearer = radios
    fake.kernel.tell(MONITOR_FOUND, 1, heard(ADDRESS, SAID, -50))
    hearing = asyncio.create_task(listen(hearer, 4))
    await scanning(fake, "hci1")
    fake.kernel.tell(MONITOR_FOUND, 0, heard(ADDRESS, SAID, -51))
    fake.kernel.tell(MONITOR_FOUND, 1, heard(ADDRESS, SAID, -52))
    fake.kernel.tell(MONITOR_FOUND, 1, heard(ADDRESS, b"\x02\x01\x06", -53))
    assert [(report.rssi_dbm, report.address.hex()) for report in await hearing] == [(-52, "0a0000000007")]


async def test_a_kernel_that_falls_silent_or_ends_the_socket_costs_the_tap_and_nothing_else(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    speaker, _ = radios
    await speaker.advertise(PAYLOAD)
    fake.kernel.wrong[0x04] = [None]
    hearer = fake.radio("hci1", TIMING)
    hearer._management._patience_s = 0.05
    assert not (await hearer.start()).every_rssi_sample
    hearer._management._patience_s = 10
    assert len(await first(hearer, 3)) == 3
    assert (await hearer.start()).every_rssi_sample
    fake.kernel.close()
    await asyncio.sleep(0)
    assert len(await first(hearer, 3)) == 3
    await hearer.close()


async def test_a_socket_that_ends_before_its_answer_is_a_refusal_at_once(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    _, hearer = radios
    fake.kernel.wrong[0x04] = [None]
    starting = asyncio.create_task(hearer.start())
    async with asyncio.timeout(5):
        while fake.kernel.wrong[0x04]:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.001)
        fake.kernel.close()
        assert not (await starting).every_rssi_sample


async def test_where_there_is_no_management_socket_everything_goes_on_without(fake: FakeBluez) -> None:
    def nothing() -> None:
        raise OSError(97, "Address family not supported by protocol")

    fake.adapter("hci0")
    radio = BluezRadio("hci0", fake.clock, TIMING, open_management=nothing)  # type: ignore[arg-type]
    assert not (await radio.start()).every_rssi_sample
    await radio.advertise(PAYLOAD)
    assert len(fake.adapter("hci0").spoken) == 1
    await radio.close()


@pytest.mark.parametrize("told_by", ["bluetoothd", "kernel"])
async def test_an_adapter_that_others_may_connect_to_is_never_spoken_on(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio], told_by: str
) -> None:
    """A kernel then advertises from the public address, whatever kind was registered."""
    speaker, _ = radios
    await speaker.advertise(PAYLOAD)
    await fake.make_discoverable("hci0", on=True, told_by=told_by)
    assert "bluetoothctl discoverable off" in await lost(speaker, fake)
    with pytest.raises(Missing, match="its lasting address"):
        await speaker.start()
    with pytest.raises(Missing, match="its lasting address"):
        await speaker.advertise(PAYLOAD)
    await speaker.stop_advertising()
    assert fake.adapter("hci0").spoken == []
    await fake.make_discoverable("hci0", on=False, told_by=told_by)
    await speaker.start()
    await speaker.advertise(Payload.from_service_data(bytes(20)))
    (spoken,) = fake.adapter("hci0").spoken
    assert spoken.address != PUBLIC


async def test_the_fake_speaks_from_the_public_address_where_nobody_looks(
    fake: FakeBluez, radios: tuple[BluezRadio, BluezRadio]
) -> None:
    """Positive control of the test above."""
    speaker, _ = radios
    fake.adapter("hci0").discoverable = True
    await speaker.advertise(PAYLOAD)
    assert [spoken.address for spoken in fake.adapter("hci0").spoken] == [PUBLIC]


def test_an_advertisement_that_is_told_twice_is_one_sample() -> None:
    body = heard(ADDRESS, SAID, -60)
    first, second = b"\x01\0" + body, b"\x02\0" + body
    assert len(tap_of((MONITOR_FOUND, first), (DEVICE_FOUND, body))) == 1
    assert len(tap_of((MONITOR_FOUND, first), (MONITOR_FOUND, second), (DEVICE_FOUND, body))) == 1


def test_two_advertisements_alike_are_two_samples() -> None:
    """Positive control of the test above."""
    body = heard(ADDRESS, SAID, -60)
    assert len(tap_of((DEVICE_FOUND, body), (DEVICE_FOUND, body))) == 2
    assert len(tap_of((MONITOR_FOUND, b"\0\0" + body), (MONITOR_FOUND, b"\0\0" + body))) == 2
    assert len(tap_of((DEVICE_FOUND, body), (DEVICE_FOUND, heard(ADDRESS, SAID, -61)))) == 2


@pytest.mark.parametrize("rssi_dbm", [-127, 0, 21, 127])
def test_a_strength_that_was_not_measured_is_no_sample(rssi_dbm: int) -> None:
    assert tap_of((DEVICE_FOUND, heard(ADDRESS, SAID, rssi_dbm))) == []
    assert tap_of((DEVICE_FOUND, heard(ADDRESS, SAID, -126))) == [
        Sample(bytes.fromhex(ADDRESS.replace(":", "")), -126, PAYLOAD.service_data)
    ]


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([DEVICE_FOUND, MONITOR_FOUND, 1, 2, 6, 0x24]))
def test_any_bytes_of_the_kernel_are_a_sample_or_nothing(body: bytes, event: int) -> None:
    check(event.to_bytes(2, "little") + bytes(2) + len(body).to_bytes(2, "little") + body)
    check(body)
