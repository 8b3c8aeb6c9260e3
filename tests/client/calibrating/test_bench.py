"""A bench in virtual time: what it finds of devices whose power and error are known, and what it refuses."""

import asyncio
import csv
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from forewarn_client.calibrating.bench import ENOUGH_SAMPLES, Bench, measure, serve
from forewarn_client.calibrating.estimating import Heard, Known, Turned, estimate
from forewarn_client.calibrating.frames import Answer, Turn, encode
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadInput, ForewarnError, Missing
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.radio_model import Handset
from tests.client.calibrating.virtual_bench import Hand, Table, measured, rms

SEEDS = range(20)
BAR_DB = 1.2
"""Of the root mean square error of either value, a reference device being known exactly."""
KNOWN = Known(-20, 3)


def errors_db(found: Callable[[Table, list[Turned]], tuple[float, float]], *, turn: bool = True) -> tuple[float, float]:
    """Return the root mean square errors of power and correction over the seeds."""
    wrong = []
    for seed in SEEDS:
        table = Table(seed)
        power_dbm, correction_db = found(table, asyncio.run(measured(table, turn=turn)))
        wrong.append((power_dbm - table.device.tx_power_dbm, correction_db - table.device.rssi_offset_db))
    power, correction = zip(*wrong, strict=True)
    return rms(power), rms(correction)


def as_shipped(table: Table, turns: list[Turned]) -> tuple[float, float]:
    found = estimate(turns, table.known, table.distance_m)
    assert abs(found.tx_power_dbm - table.device.tx_power_dbm) <= 2 * found.tx_error_db
    assert abs(found.correction_db - table.device.rssi_offset_db) <= 2 * found.correction_error_db
    return found.tx_power_dbm, found.correction_db


def test_a_bench_finds_power_and_correction_of_devices_it_does_not_know(figure: Callable[[str], None]) -> None:
    power_db, correction_db = errors_db(as_shipped)
    figure(
        f"calibrate: over {len(SEEDS)} devices off by {power_db:.2f} dB in power and {correction_db:.2f} dB in "
        f"correction (root mean square, bar {BAR_DB} dB)"
    )
    assert max(power_db, correction_db) <= BAR_DB


def test_without_turning_the_device_the_same_check_fails() -> None:
    """Positive control: the antenna's direction stands for the whole device."""

    def unchecked(table: Table, turns: list[Turned]) -> tuple[float, float]:
        found = estimate(turns, table.known, table.distance_m)
        return found.tx_power_dbm, found.correction_db

    assert min(errors_db(unchecked, turn=False)) > BAR_DB


def test_with_the_corrections_sign_turned_the_same_check_fails() -> None:
    """Positive control: what the reference's RSSI lacks is added, not taken away."""

    def turned(table: Table, turns: list[Turned]) -> tuple[float, float]:
        wrong = Known(table.known.tx_power_dbm, -table.known.correction_db)
        found = estimate(turns, wrong, table.distance_m)
        return found.tx_power_dbm, -found.correction_db

    assert min(errors_db(turned)) > BAR_DB


@pytest.mark.shared
def test_devices_like_the_phones_of_the_published_table_are_found(
    proximity_data: Path, figure: Callable[[str], None]
) -> None:
    with (proximity_data / "gaen_calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 500
    drawn = Random(4).sample(rows, 15)
    wrong: list[float] = []
    for seed, row in enumerate(drawn):
        phone = Handset(float(row["tx_power_dbm"]), float(row["rssi_correction_db"]))
        table = Table(100 + seed, device=phone)
        found = estimate(asyncio.run(measured(table)), table.known, table.distance_m)
        wrong += found.tx_power_dbm - phone.tx_power_dbm, found.correction_db - phone.rssi_offset_db
    figure(f"calibrate: phones of the published table are found within {rms(wrong):.2f} dB (bar {BAR_DB} dB)")
    assert rms(wrong) <= BAR_DB
    for row in rows:  # each could be a reference device, and be kept
        Known(float(row["tx_power_dbm"]), float(row["rssi_correction_db"]))


class Still:
    """Everybody hears everybody at one strength, but who is deaf, and with what a hook adds."""

    def __init__(self) -> None:
        self.deaf: set[str] = set()
        self.seldom: set[str] = set()
        self.adds_db: Callable[[float], int] = lambda _: 0

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        del sender
        if receiver in self.deaf or (receiver in self.seldom and int(monotonic_s * 4) % 28):
            return None
        return -60 + self.adds_db(monotonic_s)


class Lab:
    """A room with a bench: a reference device at work unless told otherwise, and who else a test puts there."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_750_000_000)
        self.room = Still()
        self._air = Air(self.clock, self.room)
        self.told: list[tuple[int, int]] = []
        self.ends_s = 0.0
        """When the reference device leaves; 0: never."""
        self._tasks: list[asyncio.Task[object]] = []

    async def end(self, task: "asyncio.Task[object]") -> None:
        await self.clock.sleep_until(self.ends_s)
        task.cancel()

    def radio(self, name: str) -> LoopbackRadio:
        return LoopbackRadio(self._air, name, Timing(random=Random(name)))

    def serve(self, name: str = "reference", word: str = "") -> "asyncio.Task[object]":
        def told(turn: Turn, heard: Heard) -> None:
            self.told.append((turn.orientation, heard.samples))

        bench = Bench(self.radio(name), self.clock, word)
        task: asyncio.Task[object] = asyncio.create_task(serve(bench, KNOWN, ready=lambda: None, told=told))
        self._tasks.append(task)
        if self.ends_s:
            self._tasks.append(asyncio.create_task(self.end(task)))
        return task

    async def speak(self, frame: Turn | Answer, word: str = "") -> None:
        radio = self.radio(f"stranger {frame}")
        await radio.start()
        await radio.advertise(encode(frame, word))

    async def measure(self, word: str = "", orientations: int = 2) -> tuple[Known, list[Turned]]:
        bench = Bench(self.radio("device"), self.clock, word)
        task = asyncio.create_task(measure(bench, orientations, Hand()))
        self._tasks.append(task)
        while not task.done():
            await self.clock.run_for(10)
        return await task

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    yield lab
    await lab.close()


async def refused(lab: Lab, kind: type[ForewarnError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        await lab.measure()
    assert "\n" not in str(caught.value)


async def test_each_end_hears_the_other_in_each_orientation(lab: Lab) -> None:
    lab.serve()
    known, turns = await lab.measure()
    assert known == KNOWN
    for turned in turns:
        assert (turned.here.median_dbm, turned.there.median_dbm) == (-60, -60)
        assert min(turned.here.samples, turned.there.samples) >= ENOUGH_SAMPLES
    assert [number for number, _ in lab.told] == [1, 2]


async def test_one_reference_device_serves_one_device_after_another(lab: Lab) -> None:
    lab.serve()
    await lab.measure()
    await lab.measure()
    assert [number for number, _ in lab.told] == [1, 2, 1, 2]


async def test_benches_with_words_of_their_own_do_not_hear_each_other(lab: Lab) -> None:
    lab.serve("left", "left")
    lab.serve("right", "right")
    assert len((await lab.measure("left"))[1]) == 2


async def test_two_reference_devices_are_refused_at_both_ends(lab: Lab) -> None:
    first, second = lab.serve("a"), lab.serve("b")
    await lab.clock.run_for(10)
    for task in (first, second):
        with pytest.raises(BadInput, match="two reference devices"):
            await task
    identity = b"other"[:2]
    lab.serve()
    await lab.speak(Answer(b"zz", KNOWN))
    await lab.speak(Answer(identity, KNOWN))
    await refused(lab, BadInput, "two reference devices")


async def test_two_devices_at_one_bench_are_refused(lab: Lab) -> None:
    lab.serve()
    await lab.speak(Turn(b"abc", 1))
    await refused(lab, BadInput, "another device is measured at this bench")


async def test_nobody_at_the_other_end_is_said_before_anything_is_turned(lab: Lab) -> None:
    await refused(lab, Missing, "no reference device is heard: run 'calibrate --reference' on it")
    lab.serve("reference", "another word")
    await refused(lab, Missing, "with the same --bench")


async def test_a_reference_device_that_does_not_hear_this_one_is_said(lab: Lab) -> None:
    lab.serve()
    lab.room.deaf.add("reference")
    await refused(lab, Missing, "the reference device does not hear this one")


async def test_a_reference_device_that_ends_in_between_is_said(lab: Lab) -> None:
    lab.ends_s = 6.0
    lab.serve()
    await refused(lab, Missing, "the reference device is heard no more")


async def test_a_reference_device_that_is_hardly_heard_is_said(lab: Lab) -> None:
    lab.serve()
    lab.room.seldom.add("device")
    await refused(lab, BadInput, "orientation 1: this device heard the other [0-9]+ times, 12 are needed")


async def test_somebody_who_walks_through_the_line_spoils_the_orientation_and_it_is_said(lab: Lab) -> None:
    lab.serve()
    lab.room.adds_db = lambda at_s: -20 if int(at_s) % 4 < 2 else 0
    await refused(lab, BadInput, "orientation 1: what this device heard varies by 10.0 dB")


async def test_a_frame_of_an_earlier_orientation_that_comes_late_is_not_counted(lab: Lab) -> None:
    lab.serve()
    await lab.clock.run_for(5)
    session = b"abc"
    for number in (2, 1):
        await lab.speak(Turn(session, number))
        await lab.clock.run_for(30)
    assert {number for number, _ in lab.told} == {2}
