from random import Random

from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_simulations.clocks import VirtualClock

TIMING = Timing(random=Random(3))


class Corridor:
    """Radios named by their place in metres; each 10 m cost 20 dB, and past 30 m nothing is heard."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        assert monotonic_s >= 0
        distance_m = abs(int(sender) - int(receiver))
        return None if distance_m > 30 else -50 - 2 * distance_m


def payload(number: int) -> Payload:
    return Payload.from_service_data(bytes([number]) * 20)


async def test_distance_decides_what_is_heard_and_how_strongly(clock: VirtualClock) -> None:
    air = Air(clock, Corridor())
    radios = {name: LoopbackRadio(air, name, TIMING) for name in ("0", "10", "40")}
    for name, radio in radios.items():
        await radio.start()
        await radio.advertise(payload(int(name)))
    heard = {(r.service_data[0], r.rssi_dbm) async for r in radios["0"].scan(4)}
    assert heard == {(10, -70)}
    heard = {(r.service_data[0], r.rssi_dbm) async for r in radios["10"].scan(4)}
    assert heard == {(0, -70), (40, -110)}


async def test_a_rotation_inside_a_window_is_heard_on_both_sides(clock: VirtualClock) -> None:
    air = Air(clock, Corridor())
    speaker, hearer = LoopbackRadio(air, "0", TIMING), LoopbackRadio(air, "1", TIMING)
    await speaker.start()
    await hearer.start()
    await speaker.advertise(payload(1))
    began_s = clock.monotonic()
    await clock.sleep_until(began_s + 2)
    await speaker.advertise(payload(2))
    await clock.sleep_until(began_s + 4)
    reports = air.heard("1", began_s, began_s + 4, 0xFD6F)
    assert [r.service_data[0] for r in reports] == sorted(r.service_data[0] for r in reports)
    assert {r.service_data[0] for r in reports} == {1, 2}


async def test_a_deployment_with_its_own_uuid_hears_only_its_own(clock: VirtualClock) -> None:
    air = Air(clock, Corridor())
    ours = [LoopbackRadio(air, name, TIMING, service_uuid=0xFE00) for name in ("0", "1")]
    theirs = LoopbackRadio(air, "2", TIMING)
    for number, radio in enumerate([*ours, theirs]):
        await radio.start()
        await radio.advertise(payload(number))
    assert {r.service_data[0] async for r in ours[0].scan(4)} == {1}
    assert {r.service_data[0] async for r in theirs.scan(4)} == set()


async def test_an_advertisement_without_flags_is_heard_too(clock: VirtualClock) -> None:
    air = Air(clock, Corridor())
    android, hearer = LoopbackRadio(air, "0", TIMING, flags=False), LoopbackRadio(air, "1", TIMING)
    await android.start()
    await hearer.start()
    await android.advertise(payload(9))
    assert {r.service_data[0] async for r in hearer.scan(4)} == {9}


async def test_the_air_forgets_what_no_open_window_can_hear(clock: VirtualClock) -> None:
    air = Air(clock, Corridor())
    speaker = LoopbackRadio(air, "0", TIMING)
    await speaker.start()
    for number in range(50):
        await speaker.advertise(payload(number))
        await clock.sleep_until(clock.monotonic() + 600)
    assert len(air._sent["0"]) <= 2
