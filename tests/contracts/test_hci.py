"""What `hci` keeps to beyond the contract of every radio, judged by what its controllers put on the air."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

import pytest
from bumble import hci as bumble_hci
from bumble import ll

from forewarn_client.radio import AdvertisingReport
from forewarn_client.radio.hci import HciRadio
from forewarn_client.radio.hci_commands import Extended, Legacy
from forewarn_protocol.advertisement import Payload, decode, encode
from forewarn_protocol.errors import Missing
from tests.contracts.air_log import Sent
from tests.contracts.hci_worlds import Hci, LegacyHci
from tests.contracts.jumping_loop import JumpingLoop
from tests.contracts.virtual_controllers import FAMILIES

KINDS = {"extended": Hci, "legacy": LegacyHci}
# The greatest RSSI is 20; the others are how stacks say that they have none.
NO_RSSI = [-127, 0, 127]


@pytest.fixture(params=sorted(KINDS))
async def world(request: pytest.FixtureRequest) -> Hci:
    return KINDS[request.param]()


def payload(number: int) -> Payload:
    return Payload.from_service_data(bytes([number]) * 20)


async def started(world: Hci, name: str, *, broken: bool = False) -> HciRadio:
    radio = world.radio(name, broken=broken)
    await radio.start()
    return radio


async def pass_time(world: Hci, seconds: float) -> None:
    await world.clock.sleep_until(world.clock.monotonic() + seconds)


async def listen(radio: HciRadio, seconds: float) -> list[AdvertisingReport]:
    return [report async for report in radio.scan(seconds)]


def spoken(log: list[Sent]) -> list[tuple[int, bytes]]:
    """Return which identifier was under which address, in order, each change once."""
    pairs = [(decode(sent.data).service_data[0], sent.address) for sent in log]
    return [pair for number, pair in enumerate(pairs) if number == 0 or pair != pairs[number - 1]]


async def rotate(world: Hci, radio: HciRadio, times: int) -> list[tuple[int, bytes]]:
    for number in range(times):
        await radio.advertise(payload(number))
        await pass_time(world, 5)
    await radio.close()
    return spoken(world.air.log)


async def test_over_ten_rotations_no_identifier_has_two_addresses_and_no_address_two_identifiers(world: Hci) -> None:
    pairs = await rotate(world, await started(world, "a"), 11)
    assert [number for number, _ in pairs] == list(range(11))
    assert len({address for _, address in pairs}) == 11
    log = list(world.air.log)
    await pass_time(world, 5)
    assert world.air.log == log


async def test_nothing_is_on_the_air_for_a_random_pause_between_two_identifiers(world: Hci) -> None:
    radio = await started(world, "a")
    await radio.advertise(payload(0))
    pauses = []
    for number in range(1, 11):
        await pass_time(world, 1)
        asked_s, before = world.clock.monotonic(), len(world.air.log)
        await radio.advertise(payload(number))
        await pass_time(world, 0.1)
        pauses.append(world.air.log[before].at_s - asked_s)
    shortest_s, _ = world.timing.rotation_pause_s
    assert min(pauses) >= shortest_s
    assert len({round(pause_s, 2) for pause_s in pauses}) >= 6


async def test_the_air_shows_a_broken_rotation(world: Hci) -> None:
    """Positive control: the same count over a radio that keeps its address."""
    pairs = await rotate(world, await started(world, "a", broken=True), 11)
    assert len({address for _, address in pairs}) == 1


async def test_only_legacy_advertisements_that_nobody_can_answer_are_spoken_31_bytes_long(world: Hci) -> None:
    await rotate(world, await started(world, "a"), 2)
    assert not any(sent.connectable for sent in world.air.log)
    assert {sent.data for sent in world.air.log} == {encode(payload(0)), encode(payload(1))}
    assert {len(sent.data) for sent in world.air.log} == {31}


async def test_the_air_tells_a_connectable_advertisement_apart(world: Hci, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a dialect that asks for another kind of advertisement."""

    def connectable(dialect: Extended | Legacy, *spoken: object) -> list[object]:
        commands = list(speak(dialect, *spoken))
        for command in commands:
            if hasattr(command, "advertising_type"):
                command.advertising_type = 0x00
            if hasattr(command, "advertising_event_properties"):
                command.advertising_event_properties = 0x13
        return commands

    dialect_class = Extended if type(world) is Hci else Legacy
    speak = dialect_class.speak
    monkeypatch.setattr(dialect_class, "speak", connectable)
    await rotate(world, await started(world, "a"), 1)
    assert all(sent.connectable for sent in world.air.log)


async def test_every_sample_of_a_window_arrives_with_its_rssi(world: Hci) -> None:
    world.air.rssi_dbm = lambda _sender, _receiver: -100 + len(world.air.log)
    speaker, hearer = await started(world, "a"), await started(world, "b")
    await speaker.advertise(payload(1))
    opened_s = world.clock.monotonic()
    reports = await listen(hearer, 4)
    sent = [-99 + n for n, sent in enumerate(world.air.log) if opened_s < sent.at_s < opened_s + 4]
    assert [report.rssi_dbm for report in reports] == sent
    assert len(sent) >= 14


async def test_what_came_after_the_window_is_not_of_it_though_the_loop_was_late(world: Hci) -> None:
    hearer = await started(world, "b")
    heard = asyncio.create_task(listen(hearer, 2))
    await pass_time(world, 1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    loop.stall(3)
    world.controllers["b"].hear(ll.AdvNonConnInd(bumble_hci.Address("01:02:03:04:05:06"), encode(payload(1))), -60)
    assert await heard == []


async def test_a_scan_sends_nothing_itself(world: Hci) -> None:
    hearer = await started(world, "b")
    world.controllers["b"].le_scan_type = 1
    await listen(hearer, 1)
    assert world.controllers["b"].le_scan_type == bumble_hci.HCI_LE_Set_Scan_Parameters_Command.PASSIVE_SCANNING


@pytest.mark.parametrize("rssi_dbm", NO_RSSI)
async def test_a_report_without_a_measurement_is_dropped(world: Hci, rssi_dbm: int) -> None:
    world.air.rssi_dbm = lambda _sender, _receiver: rssi_dbm
    speaker, hearer = await started(world, "a"), await started(world, "b")
    await speaker.advertise(payload(1))
    assert await listen(hearer, 2) == []
    assert len(world.air.log) > 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02\x01\x1a",
        b"\x16\x16\x6f\xfd" + bytes(19),
        b"\x18\x16\x6f\xfd" + bytes(21),
        b"\x17\x16\x6e\xfd" + bytes(20),
        b"\xff" * 31,
        bytes(200),
    ],
)
async def test_what_is_no_service_data_of_20_bytes_is_not_heard(world: Hci, data: bytes) -> None:
    hearer = await started(world, "b")
    heard = asyncio.create_task(listen(hearer, 1))
    await pass_time(world, 0.5)
    address = bumble_hci.Address("01:02:03:04:05:06")
    world.controllers["b"].hear(ll.AdvNonConnInd(address, data), -60)
    world.controllers["b"].hear(ll.AdvNonConnInd(address, encode(payload(9))), -60)
    assert [report.service_data[0] for report in await heard] == [9]


async def test_a_rotation_during_a_scan_leaves_the_scan_running(world: Hci) -> None:
    one, other = await started(world, "a"), await started(world, "b")
    await one.advertise(payload(1))
    await other.advertise(payload(2))
    heard = asyncio.create_task(listen(one, 4))
    await pass_time(world, 1)
    rotated_s = world.clock.monotonic()
    await one.advertise(payload(3))
    assert sum(report.monotonic_s > rotated_s + 0.5 for report in await heard) >= 8
    assert not world.controllers["a"].le_scan_enable


async def test_a_legacy_controller_is_told_in_the_one_order_that_it_allows() -> None:
    world = LegacyHci()
    radio = await started(world, "a")
    await radio.advertise(payload(1))
    heard = asyncio.create_task(listen(radio, 4))
    await pass_time(world, 1)
    world.controllers["a"].asked.clear()
    await radio.advertise(payload(2))
    assert [name.removeprefix("HCI_LE_SET_").removesuffix("_COMMAND") for name in world.controllers["a"].asked] == [
        "SCAN_ENABLE",
        "ADVERTISING_ENABLE",
        "RANDOM_ADDRESS",
        "ADVERTISING_PARAMETERS",
        "ADVERTISING_DATA",
        "ADVERTISING_ENABLE",
        "SCAN_PARAMETERS",
        "SCAN_ENABLE",
    ]
    await heard


async def test_a_legacy_controller_refuses_a_new_address_during_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: the virtual controller is as strict as a real one, so the order above is what makes it work."""
    monkeypatch.setattr(Legacy, "extended", True)  # the radio then lets the scan run on
    world = LegacyHci()
    radio = await started(world, "a")
    heard = asyncio.create_task(listen(radio, 4))
    await pass_time(world, 1)
    with pytest.raises(Missing, match="refused HCI_LE_SET_RANDOM_ADDRESS_COMMAND"):
        await radio.advertise(payload(2))
    with pytest.raises(Missing):
        await heard


async def commands_of(kind: type[Hci]) -> list[str]:
    world = kind()
    radio = await started(world, "probe")
    await radio.advertise(payload(0))
    await listen(radio, 1)
    return list(dict.fromkeys(world.controllers["probe"].asked))


@pytest.mark.parametrize("fault", ["refuses", "ignores"])
async def test_whatever_command_fails_is_one_line_and_leaves_silence_until_the_radio_is_started_again(
    world: Hci, fault: str
) -> None:
    for command in await commands_of(type(world)):
        world.air.log.clear()
        radio = await started(world, command)
        controller = world.controllers[command]
        await radio.advertise(payload(1))
        getattr(controller, fault).add(command)
        failed = []
        for step in (radio.start(), radio.advertise(payload(2)), radio.stop_advertising(), listen(radio, 1)):
            try:
                await step
            except Missing as error:
                failed.append(error.message)
        getattr(controller, fault).clear()
        assert all(len(message) < 200 for message in failed)
        await pass_time(world, 1)
        silent_from_s = world.clock.monotonic()
        await pass_time(world, 3)
        assert [sent for sent in world.air.log if sent.at_s > silent_from_s] == []
        await radio.start()
        await radio.advertise(payload(3))
        await pass_time(world, 1)
        await radio.close()
        pairs = spoken(world.air.log)
        assert pairs[-1][0] == 3
        assert len({address for _, address in pairs}) == len(pairs) == len({number for number, _ in pairs})


async def test_a_controller_that_refuses_says_which_command_and_what_to_do(world: Hci) -> None:
    radio = await started(world, "a")
    refused = (await commands_of(type(world)))[-2]
    world.controllers["a"].refuses.add(refused)
    with pytest.raises(Missing, match=rf"refused {refused} \(\w+\): unplug it and plug it in again"):
        await listen(radio, 1)


async def test_a_controller_that_does_not_answer_is_no_radio(world: Hci) -> None:
    radio = world.radio("a")
    world.controllers["a"].ignores.add("HCI_RESET_COMMAND")
    with pytest.raises(Missing, match="does not answer HCI_RESET"):
        await radio.start()


async def test_a_controller_that_is_unplugged_ends_scan_and_speaking_and_returns_with_a_new_address(
    world: Hci,
) -> None:
    radio, other = await started(world, "a"), await started(world, "b")
    await radio.advertise(payload(1))
    await other.advertise(payload(7))
    heard = asyncio.create_task(listen(radio, 4))
    spoken_until = asyncio.create_task(radio.stay_on_air(world.clock.monotonic() + 600))
    await pass_time(world, 1)
    world.unplug("a")
    for waiting in (heard, spoken_until):
        with pytest.raises(Missing, match="is gone: plug it in again"):
            await waiting
    with pytest.raises(Missing):
        await radio.advertise(payload(2))
    await radio.stop_advertising()  # harmless
    await radio.start()
    await radio.advertise(payload(3))
    assert {report.service_data[0] for report in await listen(radio, 2)} == {7}
    pairs = spoken([sent for sent in world.air.log if sent.sender == "a"])
    assert [number for number, _ in pairs] == [1, 3]
    assert pairs[0][1] != pairs[1][1]


async def test_a_controller_that_has_broken_down_is_not_relied_upon(world: Hci) -> None:
    radio = await started(world, "a")
    await radio.advertise(payload(1))
    waiting = asyncio.create_task(radio.stay_on_air(world.clock.monotonic() + 600))
    await pass_time(world, 1)
    hardware_error = bytes([bumble_hci.HCI_EVENT_PACKET, bumble_hci.HCI_HARDWARE_ERROR_EVENT, 1, 0x42])
    host = world.controllers["a"].host
    assert host is not None
    host.on_packet(hardware_error)
    with pytest.raises(Missing, match="is gone"):
        await waiting
    await radio.stop_advertising()
    said = len(world.air.log)
    await pass_time(world, 3)
    assert len(world.air.log) == said
    await radio.start()
    await radio.advertise(payload(2))
    await pass_time(world, 1)
    assert [number for number, _ in spoken(world.air.log)] == [1, 2]


@pytest.mark.parametrize(
    ("has_dbm", "extended_says", "legacy_says"),
    [((-20, 8), (-20, 8), (8, 8)), ((-128, 127), (-50, 20), (20, 20)), ((-90, -60), (-50, -50), (-50, -50))],
)
async def test_a_controllers_powers_are_told_as_far_as_the_metadata_can_say_them(
    has_dbm: tuple[int, int], extended_says: tuple[int, int], legacy_says: tuple[int, int]
) -> None:
    for world, says in ((Hci(), extended_says), (LegacyHci(), legacy_says)):
        radio = world.radio("a")
        world.controllers["a"].tx_power_dbm = has_dbm
        assert (await radio.start()).tx_power_range_dbm == says


async def test_an_extended_controller_that_cannot_tell_its_powers_is_asked_nothing_in_legacy_words() -> None:
    world = Hci()
    radio = world.radio("a")
    controller = world.controllers["a"]
    controller.supported_commands = controller.supported_commands - {bumble_hci.HCI_LE_READ_TRANSMIT_POWER_COMMAND}
    assert (await radio.start()).tx_power_range_dbm == (-50, 20)
    await radio.advertise(payload(1))
    assert not FAMILIES["legacy"] & set(controller.asked)


async def test_starting_a_radio_that_works_disturbs_nothing(world: Hci) -> None:
    radio, hearer = await started(world, "a"), await started(world, "b")
    await radio.advertise(payload(1))
    assert await radio.start() == await radio.start()
    assert await listen(hearer, 1)


async def test_wherever_a_rotation_is_cancelled_nothing_old_is_on_the_air_and_the_scan_goes_on(world: Hci) -> None:
    world.timing = replace(world.timing, rotation_pause_s=(0, 0))  # so that turns of the loop lead to the end
    other = await started(world, "other")
    await other.advertise(payload(9))
    turns, ended = 0, False
    while not ended:
        name = f"after {turns} turns"
        radio = await started(world, name)
        await radio.advertise(payload(1))
        heard = asyncio.create_task(listen(radio, 3))
        await pass_time(world, 1)
        rotation = asyncio.create_task(radio.advertise(payload(2)))
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        ended = rotation.done()
        rotation.cancel()
        await asyncio.gather(rotation, return_exceptions=True)
        assert ended or rotation.cancelled()
        cancelled_s = world.clock.monotonic()
        reports = await heard
        assert sum(report.monotonic_s > cancelled_s for report in reports if report.service_data[0] == 9) >= 3
        late = [sent for sent in world.air.log if sent.sender == name and sent.at_s > cancelled_s + 0.01]
        assert {decode(sent.data).service_data[0] for sent in late} <= {2}
        await radio.advertise(payload(3))
        await radio.close()
        turns += 1
    assert turns > 10


async def test_a_scan_that_is_left_early_stops_the_receiver(world: Hci) -> None:
    speaker, hearer = await started(world, "a"), await started(world, "b")
    await speaker.advertise(payload(1))
    async with aclosing(hearer.scan(60)) as reports:
        await anext(reports)
        assert world.controllers["b"].le_scan_enable
    assert not world.controllers["b"].le_scan_enable
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("hci")] == []


async def test_wherever_the_beginning_of_a_scan_is_cancelled_the_receiver_is_off(world: Hci) -> None:
    radio = await started(world, "b")
    for turns in range(12):
        scan = asyncio.create_task(listen(radio, 60))
        for _ in range(turns):
            await asyncio.sleep(0)
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)
        assert scan.cancelled()
        assert not world.controllers["b"].le_scan_enable
    await radio.advertise(payload(1))
    assert not world.controllers["b"].le_scan_enable


async def test_a_scan_that_was_refused_is_not_begun_by_the_next_rotation(world: Hci) -> None:
    radio = await started(world, "b")
    controller = world.controllers["b"]
    refused = {name for name in FAMILIES["legacy"] | FAMILIES["extended"] if "SCAN_PARAMETERS" in name}
    controller.refuses |= refused
    with pytest.raises(Missing):
        await listen(radio, 1)
    controller.refuses.clear()
    await radio.start()
    await radio.advertise(payload(1))
    assert not controller.le_scan_enable


async def test_no_log_line_of_any_level_holds_an_identifier_or_an_address(
    world: Hci, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    speaker, hearer = await started(world, "a"), await started(world, "b")
    await speaker.advertise(payload(0xAB))
    (first, *_) = await listen(hearer, 1)
    world.controllers["a"].refuses.add((await commands_of(type(world)))[-1])
    with pytest.raises(Missing):
        await listen(speaker, 1)
    logged = caplog.text.lower()
    assert "abababab" not in logged
    assert first.address.hex() not in logged
    assert first.address.hex(":") not in logged
