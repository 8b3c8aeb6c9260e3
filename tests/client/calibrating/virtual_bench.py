"""Two devices on a table in virtual time, each with its own power and error, one with an antenna that points."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from forewarn_client.calibrating.bench import Bench, measure, serve
from forewarn_client.calibrating.estimating import Known, Turned
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.named_streams import NamedStreams
from forewarn_simulations.radio_model import (
    Carriage,
    Environment,
    Handset,
    Placement,
    draw_handset,
    fading_db,
    link,
    shadowing_db,
)

ROOM = Environment("a quiet room", exponent=2.0, shadowing_sd_db=1.0)
"""Two devices that lie still in sight of each other: what is left of shadowing is reflections that come and go."""
LOBE_DB = 3.0
"""How an antenna's gain swings over a full turn, and half as much over half a turn; the mean of its power is one."""
_STEP_S = 0.05
_LONGEST_S = 1200.0


@dataclass
class Table:
    """The propagation of one seed's bench; `device` is turned by setting `orientation`, counted from 1."""

    seed: int
    orientations: int = 4
    distance_m: float = 1.0
    device: Handset | None = None
    orientation: int = 1
    noise_db: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        streams = NamedStreams(self.seed)
        self.reference, _ = draw_handset(streams, "reference")
        drawn, _ = draw_handset(streams, "device")
        self.device = self.device or drawn
        self.lobes_rad = streams.generator("pattern").uniform(0.0, 2 * np.pi, 2)
        self.mean_gain_db = 10 * np.log10(np.mean(10 ** (self._lobes_db(np.linspace(0, 2 * np.pi, 360)) / 10)))
        places = [Placement("bench", x_m, 0.0, 0.0, Carriage.TABLE, 0.0) for x_m in (0.0, self.distance_m)]
        times_s = np.arange(0.0, _LONGEST_S, _STEP_S)
        handsets = {"reference": self.reference, "device": self.device}
        self.mean_dbm = {}
        for sender, receiver in (("reference", "device"), ("device", "reference")):
            ends = handsets[sender], handsets[receiver]
            way = link(streams, f"{sender} to {receiver}", ends, (places[0], places[1]), {}, ROOM)
            self.mean_dbm[sender] = way.mean_dbm
            self.noise_db[sender] = shadowing_db(streams, way, times_s) + fading_db(streams, way, times_s)

    @property
    def known(self) -> Known:
        return Known(self.reference.tx_power_dbm, self.reference.rssi_offset_db)

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        if {sender, receiver} != {"device", "reference"}:
            return -50
        noise_db = self.noise_db[sender][int(monotonic_s / _STEP_S)]
        turned_rad = np.array(2 * np.pi * (self.orientation - 1) / self.orientations)
        gain_db = float(self._lobes_db(turned_rad)) - self.mean_gain_db
        return round(self.mean_dbm[sender] + gain_db + noise_db)

    def _lobes_db(self, turned_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        once, twice = self.lobes_rad
        swing: NDArray[np.float64] = np.cos(turned_rad + once) + np.cos(2 * turned_rad + twice) / 2
        return LOBE_DB * swing


class Hand:
    """A technician who turns the device at once."""

    def __init__(self, lies: Callable[[int], None] = lambda _: None) -> None:
        self.shown: list[int] = []
        self._lies = lies

    def looking(self) -> None:
        self.shown = []

    async def turned(self, number: int) -> None:
        self.shown = []
        self._lies(number)

    def show(self, samples: int) -> None:
        assert samples >= max(self.shown, default=0)
        self.shown.append(samples)


async def measured(table: Table, *, turn: bool = True) -> list[Turned]:
    """Run both ends until the device has been measured; without `turn` it is left as it lies."""
    clock = VirtualClock(1_750_000_000)
    air = Air(clock, table)
    timing = Timing(random=Random(table.seed))

    def lies(number: int) -> None:
        table.orientation = number if turn else 1

    def end(name: str) -> Bench:
        return Bench(LoopbackRadio(air, name, timing), clock)

    reference = asyncio.create_task(serve(end("reference"), table.known, ready=lambda: None, told=lambda *_: None))
    device = asyncio.create_task(measure(end("device"), table.orientations, Hand(lies)))
    try:
        while not device.done():
            await clock.run_for(10)
        known, turns = device.result()
        assert abs(known.tx_power_dbm - table.known.tx_power_dbm) <= 0.05
        return turns
    finally:
        reference.cancel()
        await asyncio.gather(reference, device, return_exceptions=True)


def rms(errors_db: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors_db))))
