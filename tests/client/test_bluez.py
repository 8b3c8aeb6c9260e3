"""The radio `bluez` against a fake bluetoothd on a real D-Bus: every fault, and what it says about it."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, nullcontext
from pathlib import Path
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.radio import AdvertisingReport, NotSpoken
from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadSettings, Missing
from forewarn_simulations.clocks import ScaledClock, VirtualClock
from tests.client.fake_bluez import NONSENSE, SILENCE, FakeBluez, fake_bluez
from tests.waiting import until

TIMING = Timing(random=Random(3), first_step_s=(0.0, 1.0), scan_gap_s=(10.0, 15.0))
ADAPTER = "/org/bluez/hci0"
FAILED = "org.bluez.Error.Failed"
IN_PROGRESS = "org.bluez.Error.InProgress"


@pytest.fixture
async def fake(system_bus: str) -> AsyncIterator[FakeBluez]:
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 20)) as fake:
        fake.adapter("hci0")
        fake.adapter("hci1")
        yield fake


@pytest.fixture
async def radio(fake: FakeBluez) -> AsyncIterator[BluezRadio]:
    radio = fake.radio("hci0", TIMING)
    await radio.start()
    yield radio
    await radio.close()


async def started_again(radio: BluezRadio) -> None:
    """Ask the radio until it has heard that it may go on."""
    async with asyncio.timeout(5):
        while True:
            try:
                await radio.start()
            except Missing:
                await asyncio.sleep(0.001)
            else:
                return


def payload(number: int) -> Payload:
    return Payload.from_service_data(bytes([number]) * 20)


async def listen(radio: BluezRadio, seconds: float) -> list[AdvertisingReport]:
    return [report async for report in radio.scan(seconds)]


def now_speaking(fake: FakeBluez) -> list[bytes]:
    return [
        value.value
        for spoken in fake.adapters[ADAPTER].spoken
        for value in spoken.properties["ServiceData"].value.values()
    ]


async def lost(radio: BluezRadio, fake: FakeBluez) -> str:
    with pytest.raises(Missing) as raised:
        await radio.stay_on_air(fake.clock.monotonic() + 600)
    return raised.value.message


async def test_an_advertisement_is_a_broadcast_of_uuid_and_service_data_and_nothing_else(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    """Any other type is sent from the public address, and with the transmit power it does not fit into 31 bytes."""
    await radio.advertise(payload(1))
    (spoken,) = fake.adapters[ADAPTER].spoken
    properties = {name: value.value for name, value in spoken.properties.items()}
    assert set(properties) == {"Type", "ServiceUUIDs", "ServiceData", "MinInterval", "MaxInterval"}
    assert properties["Type"] == "broadcast"
    assert properties["ServiceUUIDs"] == list(properties["ServiceData"]) == ["0000fd6f-0000-1000-8000-00805f9b34fb"]
    assert 200 <= properties["MinInterval"] == properties["MaxInterval"] <= 270


async def test_it_says_what_the_adapter_can_do(fake: FakeBluez, radio: BluezRadio) -> None:
    capabilities = await radio.start()
    assert capabilities.extended_advertising
    assert capabilities.tx_power_range_dbm == (-34, 7)
    assert not capabilities.every_rssi_sample
    fake.legacy = True
    assert not (await radio.start()).extended_advertising


async def test_a_rotation_inside_a_scan_stops_the_scan_first(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.legacy = True
    fake.adapter("hci1")
    other = fake.radio("hci1", TIMING)
    await other.start()
    await other.advertise(payload(9))
    await radio.advertise(payload(1))
    hearing = asyncio.create_task(listen(radio, 6))
    await fake.clock.sleep_until(fake.clock.monotonic() + 2)
    await radio.advertise(payload(2))
    rotated_s = fake.clock.monotonic()
    heard = await hearing
    assert fake.refused == 0
    assert now_speaking(fake) == [bytes([2]) * 20]
    assert any(report.monotonic_s > rotated_s for report in heard), "the scan did not go on"
    await other.close()


async def test_the_fake_refuses_a_rotation_inside_a_scan_that_goes_on(fake: FakeBluez, radio: BluezRadio) -> None:
    """Positive control of the test above: with the pause switched off, the same rotation fails."""
    fake.legacy = True
    await radio.advertise(payload(1))
    hearing = asyncio.create_task(listen(radio, 6))
    await until(lambda: bool(fake.adapters[ADAPTER].discovering) and radio._hearing is not None)
    radio._hearing = None
    with pytest.raises(Missing, match="refuses to advertise"):
        await radio.advertise(payload(2))
    assert fake.refused == 5
    assert now_speaking(fake) == []
    await asyncio.gather(hearing, return_exceptions=True)


async def test_a_refusal_for_a_moment_is_outwaited(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.wrong["RegisterAdvertisement"] = [FAILED, IN_PROGRESS]
    await radio.advertise(payload(1))
    assert fake.calls.count("RegisterAdvertisement") == 3
    assert now_speaking(fake) == [bytes([1]) * 20]
    fake.wrong["StartDiscovery"] = [IN_PROGRESS]
    await listen(radio, 2)
    assert fake.calls.count("StartDiscovery") == 2


async def test_a_lasting_refusal_names_the_kernels_that_do_it(fake: FakeBluez, radio: BluezRadio) -> None:
    """Some kernels of Raspberry Pi OS answer each registration with 0x0d, which bluetoothd hands on as Failed."""
    fake.wrong["RegisterAdvertisement"] = [FAILED] * 5
    with pytest.raises(NotSpoken, match=r"6\.12\.93 .* bluetoothd 5\.87"):
        await radio.advertise(payload(1))
    assert now_speaking(fake) == []
    await radio.start()
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_another_scanner_is_named_and_costs_no_advertisement(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    fake.wrong["StartDiscovery"] = [IN_PROGRESS] * 5
    with pytest.raises(Missing, match="another program holds the radio"):
        await listen(radio, 4)
    assert now_speaking(fake) == [bytes([1]) * 20]
    assert not fake.adapters[ADAPTER].monitors, "the passive scanner was left behind"


async def test_bluetoothd_may_vanish_and_return(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    await fake.vanish()
    assert 'run "systemctl start bluetooth"' in await lost(radio, fake)
    with pytest.raises(Missing, match="systemctl start bluetooth"):
        await radio.start()
    with pytest.raises(Missing, match="systemctl start bluetooth"):
        await radio.advertise(payload(2))
    await radio.stop_advertising()
    await fake.appear()
    await radio.start()
    await radio.advertise(payload(3))
    assert [data[0] for _, _, data, _ in fake.on_air] == [1, 3]
    assert len({address for _, address, _, _ in fake.on_air}) == 2


async def test_a_scan_ends_with_a_sentence_when_bluetoothd_vanishes(fake: FakeBluez, radio: BluezRadio) -> None:
    hearing = asyncio.create_task(listen(radio, 60))
    await until(lambda: bool(fake.adapters[ADAPTER].discovering))
    await fake.vanish()
    with pytest.raises(Missing, match="systemctl start bluetooth"):
        await hearing


async def test_an_adapter_may_be_unplugged_and_return(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    await fake.unplug("hci0")
    assert "no Bluetooth adapter hci0" in await lost(radio, fake)
    with pytest.raises(Missing, match="no Bluetooth adapter hci0"):
        await radio.start()
    await radio.stop_advertising()
    await fake.plug_in("hci0")
    await radio.start()
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_bluetooth_may_be_switched_off_and_on(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    await fake.power("hci0", on=False)
    assert "bluetoothctl power on" in await lost(radio, fake)
    with pytest.raises(Missing, match="switched off"):
        await radio.start()
    await radio.stop_advertising()
    await fake.power("hci0", on=True)
    await radio.start()
    await radio.advertise(payload(2))
    assert [data[0] for _, _, data, kind in fake.on_air if kind][-1] == 2
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_what_the_kernel_speaks_again_after_power_on_is_silenced_at_once(
    fake: FakeBluez, radio: BluezRadio, figure: Callable[[str], None]
) -> None:
    fake.legacy = True
    await radio.advertise(payload(1))
    await fake.power("hci0", on=False)
    await lost(radio, fake)
    await radio.stop_advertising()
    began_s = time.monotonic()
    await fake.power("hci0", on=True)
    assert now_speaking(fake) == [bytes([1]) * 20], "the fake no longer does what kernels do"
    await until(lambda: now_speaking(fake) == [])
    figure(f"bluez: the old identifier is off the air {1000 * (time.monotonic() - began_s):.0f} ms after power-on")
    noise = fake.on_air[-1]
    assert noise[2] != bytes([1]) * 20
    assert noise[1] not in {address for _, address, _, _ in fake.on_air[:-1]}


async def test_without_that_silencing_the_old_identifier_stays_under_a_new_address(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    """Positive control of the test above."""
    fake.legacy = True
    await radio.advertise(payload(1))
    await fake.power("hci0", on=False)
    await lost(radio, fake)
    radio._must_hush = False
    await radio.stop_advertising()
    await fake.power("hci0", on=True)
    await asyncio.sleep(0.1)
    assert now_speaking(fake) == [bytes([1]) * 20]


async def test_sleep_and_waking_each_end_an_identifier(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    await fake.sleep(going=True)
    assert "goes to sleep" in await lost(radio, fake)
    with pytest.raises(Missing, match="goes to sleep"):
        await radio.start()
    await radio.stop_advertising()
    assert now_speaking(fake) == []
    await fake.sleep(going=False)
    await started_again(radio)
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_a_sleep_that_is_announced_waits_until_nothing_is_on_the_air(fake: FakeBluez, radio: BluezRadio) -> None:
    """Asleep, a controller may speak on for hours."""
    await radio.advertise(payload(1))
    assert len(fake.sleep_locks) == 1
    await fake.sleep(going=True)
    async with asyncio.timeout(5):
        await fake.all_let_it_sleep()
    assert now_speaking(fake) == [], "the machine sleeps from here on"
    await fake.sleep(going=False)
    await started_again(radio)
    assert len(fake.sleep_locks) == 2, "the next sleep waits, too"


async def test_a_machine_that_promises_no_delay_is_asked_for_nothing_more(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.close()
    fake.wrong["Inhibit"] = ["org.freedesktop.DBus.Error.AccessDenied"]
    await radio.start()
    await radio.advertise(payload(1))
    assert now_speaking(fake) == [bytes([1]) * 20]


@pytest.mark.parametrize("rssi_dbm", [-127, 0, 127, None])
async def test_what_bluetoothd_remembers_from_another_time_is_no_sample(
    fake: FakeBluez, radio: BluezRadio, rssi_dbm: int | None
) -> None:
    hearing = asyncio.create_task(listen(radio, 4))
    await until(lambda: bool(fake.adapters[ADAPTER].discovering))
    await fake.replay("hci0", bytes(20), rssi_dbm)
    await fake.replay("hci0", bytes(19), -50)
    assert await hearing == []


async def test_the_same_report_with_a_real_strength_is_a_sample(fake: FakeBluez, radio: BluezRadio) -> None:
    """Positive control of the test above; what comes before the window is no sample either."""
    await fake.replay("hci0", bytes([7]) * 20, -50)
    hearing = asyncio.create_task(listen(radio, 10))
    await until(lambda: bool(fake.adapters[ADAPTER].discovering))
    await fake.replay("hci0", bytes([8]) * 20, -50)
    assert [(report.service_data[0], report.rssi_dbm) for report in await hearing] == [(8, -50)]


async def test_without_experimental_features_a_window_is_three_short_ones(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.experimental = False
    other = fake.radio("hci1", TIMING)
    await other.start()
    await other.advertise(payload(5))
    await radio.start()
    assert len(await listen(radio, 12)) == 3
    await other.close()


@pytest.mark.parametrize("answer", [NONSENSE, SILENCE, "org.example.Error.Unheard"])
@pytest.mark.parametrize(
    "member",
    ["GetManagedObjects", "RegisterAdvertisement", "UnregisterAdvertisement", "RegisterMonitor", "StartDiscovery"],
)
async def test_a_service_that_answers_nonsense_ends_in_one_line(fake: FakeBluez, member: str, answer: str) -> None:
    radio = fake.radio("hci0", TIMING, patience_s=0.1 if answer == SILENCE else 10)
    fake.wrong[member] = [answer] * 20
    # Of these two answers bleak reads nothing but whether they are errors.
    is_unseen = answer == NONSENSE and member in {"RegisterMonitor", "StartDiscovery"}
    with nullcontext() if is_unseen else pytest.raises(Missing) as raised:
        await radio.start()
        await radio.advertise(payload(1))
        await radio.advertise(payload(2))
        await listen(radio, 2)
    if raised:
        assert "\n" not in raised.value.message
        assert "bluetooth" in raised.value.message or "D-Bus" in raised.value.message
    fake.wrong.clear()
    await radio.close()
    await until(lambda: now_speaking(fake) == [])


async def test_no_bus_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    radio = BluezRadio("hci0", ScaledClock(1_750_000_000, 20), TIMING)
    with pytest.raises(Missing, match="start dbus"):
        await radio.start()
    await radio.close()


async def test_a_bus_that_ends_takes_the_advertisement_with_it_and_may_return(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    bus = radio._bluetoothd._bus
    assert bus is not None
    asyncio.get_running_loop().call_later(0.05, bus.disconnect)
    assert "D-Bus does not answer" in await lost(radio, fake)
    with pytest.raises(Missing, match="D-Bus does not answer"):
        await radio.advertise(payload(2))
    await until(lambda: now_speaking(fake) == [])
    await radio.start()
    await radio.advertise(payload(3))
    assert now_speaking(fake) == [bytes([3]) * 20]


async def test_no_log_holds_an_address_or_an_identifier(
    fake: FakeBluez, radio: BluezRadio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = fake.radio("hci1", TIMING)
    await other.start()
    await other.advertise(payload(0x41))
    assert await listen(radio, 2)
    address = fake.on_air[0][1]
    for trace in (address, address.replace(":", "_"), "AAAA", "41" * 8):
        assert trace not in caplog.text
    logging.getLogger("bleak").setLevel(logging.DEBUG)  # positive control: what bleak writes unless it is silenced
    try:
        await listen(radio, 1)
    finally:
        logging.getLogger("bleak").setLevel(logging.CRITICAL)
        await other.close()
    assert address.replace(":", "_") in caplog.text


async def test_an_advertisement_that_bluetoothd_releases_is_followed_by_another(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    await fake.release("hci0")
    assert "a new one follows" in await lost(radio, fake)
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_a_scan_that_cannot_go_on_after_a_rotation_says_so_and_the_rotation_stands(
    fake: FakeBluez, radio: BluezRadio
) -> None:
    await radio.advertise(payload(1))
    hearing = asyncio.create_task(listen(radio, 60))
    await until(lambda: bool(fake.adapters[ADAPTER].discovering))
    fake.wrong["StartDiscovery"] = [IN_PROGRESS] * 5
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]
    with pytest.raises(Missing, match="another program holds the radio"):
        await hearing


async def test_after_bluetoothds_return_everything_is_heard_again(fake: FakeBluez, radio: BluezRadio) -> None:
    other = fake.radio("hci1", TIMING)
    await other.start()
    await other.advertise(payload(1))
    assert await listen(radio, 2)
    await fake.vanish()
    await lost(other, fake)
    await fake.appear()
    await other.start()
    await other.advertise(payload(2))
    await radio.start()
    assert {report.service_data[0] for report in await listen(radio, 4)} == {2}
    await other.close()


async def test_a_scanner_that_meets_nonsense_or_no_bus_is_one_line(
    fake: FakeBluez, radio: BluezRadio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The scanner has a connection of its own, which begins with the first scan."""
    fake.wrong["GetManagedObjects"] = [NONSENSE]
    with pytest.raises(Missing, match="makes no sense"):
        await listen(radio, 2)
    with monkeypatch.context() as environment:
        environment.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
        with pytest.raises(Missing, match="start dbus"):
            await listen(radio, 2)
    assert await listen(radio, 2) == []


async def test_a_rotation_that_is_cancelled_and_fails_leaves_silence(fake: FakeBluez, radio: BluezRadio) -> None:
    fake.wrong["RegisterAdvertisement"] = ["org.bluez.Error.NotPermitted"]
    rotation = asyncio.create_task(radio.advertise(payload(1)))
    await asyncio.sleep(0)
    rotation.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rotation
    assert now_speaking(fake) == []
    await radio.advertise(payload(2))
    assert now_speaking(fake) == [bytes([2]) * 20]


async def test_a_daemon_that_ends_at_power_on_leaves_no_noise(fake: FakeBluez) -> None:
    fake.legacy = True
    radio = fake.radio("hci0", TIMING, patience_s=0.3)
    await radio.start()
    await radio.advertise(payload(1))
    await fake.power("hci0", on=False)
    await lost(radio, fake)
    fake.wrong["RegisterAdvertisement"] = [SILENCE]
    await fake.power("hci0", on=True)
    await until(lambda: radio._hushing is not None)
    await radio.close()
    assert radio._hushing is not None
    assert radio._hushing.done()
    assert {spoken.sender for spoken in fake.adapters[ADAPTER].spoken} <= {"kernel"}


async def test_a_scan_that_is_left_early_leaves_no_scanner(fake: FakeBluez, radio: BluezRadio) -> None:
    task = asyncio.create_task(listen(radio, 60))
    await until(lambda: "StartDiscovery" in fake.calls)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not fake.adapters[ADAPTER].discovering
    assert not fake.adapters[ADAPTER].monitors
    async with aclosing(radio.scan(2)) as reports:
        assert [report async for report in reports] == []


async def test_a_strangers_signal_is_not_believed(fake: FakeBluez, radio: BluezRadio) -> None:
    await radio.advertise(payload(1))
    radio._bluetoothd._owners["org.bluez"] = ":1.99999"
    await fake.power("hci0", on=False)
    until_s = fake.clock.monotonic() + 2
    await radio.stay_on_air(until_s)
    assert fake.clock.monotonic() >= until_s


async def test_a_daemon_outlives_bluetoothd_and_speaks_anew(
    fake: FakeBluez, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ClientSettings(data=tmp_path / "a", radio="bluez")
    radio = fake.radio("hci0", TIMING)
    task = asyncio.create_task(Daemon(settings, fake.clock, radio, TIMING).run())
    await until(lambda: len(fake.on_air) == 1)
    await fake.vanish()
    await fake.clock.sleep_until(fake.clock.monotonic() + 10)
    assert 'speak: bluetoothd does not run: run "systemctl start bluetooth"' in caplog.text
    await fake.appear()
    await until(lambda: len(fake.on_air) == 2)
    (_, address, first, _), (_, other_address, second, _) = fake.on_air
    assert address != other_address
    assert first != second
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert now_speaking(fake) == []


def test_a_client_without_the_extra_says_which_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("forewarn_client.radio.bluez")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bleak", None)
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    settings = ClientSettings(data=tmp_path, radio="bluez")
    with pytest.raises(Missing, match=r"pip install 'forewarn\[client,bluez\]'"):
        choose_radio(settings, VirtualClock(), TIMING)


def test_the_settings_choose_bluez_and_its_adapter(tmp_path: Path) -> None:
    radio = choose_radio(ClientSettings(data=tmp_path, radio="bluez", adapter="hci3"), VirtualClock(), TIMING)
    assert isinstance(radio, BluezRadio)
    assert radio._adapter == "hci3"
    with pytest.raises(BadSettings, match="adapter"):
        ClientSettings.load(data=tmp_path, adapter="../hci0")


def test_a_client_on_another_radio_loads_no_bluetooth() -> None:
    code = "import sys, forewarn_client.cli; sys.exit(bool({'bleak', 'dbus_fast'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code
