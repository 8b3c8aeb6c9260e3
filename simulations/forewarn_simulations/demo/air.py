"""Who hears whom in the demo, and how loud: the layout's seats under the radio model, as the loopback air asks it."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import numpy as np

from forewarn_simulations.demo.layout import Layout
from forewarn_simulations.demo.outcome import Loudness
from forewarn_simulations.demo.people import BUS, LUNCH
from forewarn_simulations.named_streams import NamedStreams
from forewarn_simulations.radio_model import (
    OPEN_AREA,
    VEHICLE,
    Calibration,
    Environment,
    Link,
    draw_handset,
    link,
    rssi_dbm,
)

ENVIRONMENTS: Final[Mapping[str, Environment]] = {LUNCH: OPEN_AREA, BUS: VEHICLE}

# RSSI is worked out for a block of times at once, as fine as a tenth of the advertising interval: one numpy call
# serves all advertisements of a scan window.
_STEP_S: Final = 0.02
_BLOCK_STEPS: Final = 256
_BLOCKS_KEPT: Final = 4096


class DemoAir:
    """The radio paths between all phones of a layout; people elsewhere hear nothing."""

    def __init__(self, streams: NamedStreams, layout: Layout) -> None:
        self._streams = streams
        self._people = {person.name: person for person in layout.people}
        drawn = {name: draw_handset(streams, name) for name in self._people}
        self._handsets = {name: handset for name, (handset, _) in drawn.items()}
        self.calibrations: dict[str, Calibration] = {name: calibration for name, (_, calibration) in drawn.items()}
        # Between two of these moments nobody moves, so a link stays what it is.
        self._moves_s = sorted({s for p in layout.people for stay in p.stays for s in (stay.start_s, stay.end_s)})
        self._links: dict[tuple[str, str, int], Link | None] = {}
        self._blocks: dict[tuple[str, str, int, int], list[float]] = {}
        self._tallies: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        """Return what `receiver` reports of an advertisement that `sender` sends now; None where it is not heard."""
        scene = bisect_right(self._moves_s, monotonic_s)
        link = self._link(sender, receiver, scene)
        if link is None:
            return None
        block, step = divmod(math.floor(monotonic_s / _STEP_S), _BLOCK_STEPS)
        key = (sender, receiver, scene, block)
        levels = self._blocks.get(key)
        if levels is None:
            if len(self._blocks) >= _BLOCKS_KEPT:
                self._blocks.clear()
            times_s = _STEP_S * np.arange(block * _BLOCK_STEPS, (block + 1) * _BLOCK_STEPS, dtype=np.float64)
            levels = self._blocks[key] = rssi_dbm(self._streams, link, times_s).tolist()
        level = levels[step]
        if math.isnan(level):
            return None
        tally = self._tallies[sender, receiver]
        tally[0] += 1
        tally[1] += level
        return int(level)

    def loudness(self) -> dict[tuple[str, str], Loudness]:
        """Return by (sender, receiver) how much was heard so far, and its mean calibrated attenuation."""
        return {
            (sender, receiver): Loudness(
                int(count),
                self.calibrations[sender].tx_power_dbm
                - self.calibrations[receiver].rssi_correction_db
                - level_sum / count,
            )
            for (sender, receiver), (count, level_sum) in self._tallies.items()
        }

    def _link(self, sender: str, receiver: str, scene: int) -> Link | None:
        key = (sender, receiver, scene)
        if key not in self._links:
            self._links[key] = self._work_out(sender, receiver, scene)
        return self._links[key]

    def _work_out(self, sender: str, receiver: str, scene: int) -> Link | None:
        if scene in {0, len(self._moves_s)}:  # before the first has come, after the last has gone
            return None
        now_s = self._moves_s[scene - 1]
        here, there = self._people[sender].at(now_s), self._people[receiver].at(now_s)
        if here is None or there is None or here.place != there.place:
            return None
        seated = {name: person.at(now_s) for name, person in self._people.items() if name not in {sender, receiver}}
        others = {name: place for name, place in seated.items() if place is not None and place.place == here.place}
        return link(
            self._streams,
            "|".join(sorted((sender, receiver))),  # the path is the same in both directions
            (self._handsets[sender], self._handsets[receiver]),
            (here, there),
            others,
            ENVIRONMENTS[here.place],
        )
