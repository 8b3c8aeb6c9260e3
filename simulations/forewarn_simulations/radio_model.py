"""How loud one phone hears another: RSSI = P_tx + G_i + G_j - PL(d) - body - occluders + shadowing + fading.

Every term is random the way measurements are, and there is no switch to turn the noise off. The numbers come from
published measurements; each constant names its own. Shadowing and fading are functions of (seed, pair, time), so they
do not depend on who asks first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from forewarn_simulations.named_streams import NamedStreams, normals, uniforms

PATH_LOSS_AT_1_M_DB: Final = 40.0
"""Free space at 2.44 GHz (Friis): 20 log10(4π / 0.123 m)."""
TX_POWER_MEAN_DBM: Final = -20.6
TX_POWER_SD_DB: Final = 6.6
RSSI_OFFSET_MEAN_DB: Final = 3.4
RSSI_OFFSET_SD_DB: Final = 2.0
"""Transmit power and receiver's RSSI offset over phone models: MIT Lincoln Laboratory, 695 phone tests."""
CALIBRATION_SD_DB: Final = 2.0
"""What a calibration of high confidence still leaves unknown, at each end of a link."""
OWN_BODY_MEAN_DB: Final = 8.0
OWN_BODY_SD_DB: Final = 2.0
OTHER_BODY_DB: Final = (4.0, 6.0)
"""Loss through one's own body when it lies fully in the way, and through another person's, at 2.4 GHz."""
OCCLUDER_RADIUS_M: Final = 0.25
RICIAN_K_DB: Final = 7.0
"""Line of sight; a blocked link fades as Rayleigh does."""
BLOCKED_FROM_DB: Final = 6.0
CHANNELS: Final = 3
SENSITIVITY_DBM: Final = -100.0
"""Weaker advertisements are not decoded; phones' data sheets say -97 to -103 dBm at 1 Mbit/s."""
FADING_COHERENCE_S: Final = 0.5
"""Seated people move a little: after half a wavelength, 6 cm, a channel's fade is another one."""
SHADOWING_CORRELATION_S: Final = (5.0, 30.0)
NEAREST_M: Final = 0.1


class Carriage(StrEnum):
    """Where a seated or standing person has the phone."""

    TABLE = "on the table"
    FRONT_POCKET = "in a front pocket"
    BACK_POCKET = "in a back pocket"
    BAG = "in a bag"


# The direction, from the person's own heading, in which the phone lies, and what cloth or leather costs it (dB).
_CARRIED: Final[Mapping[Carriage, tuple[float, float]]] = {
    Carriage.TABLE: (0.0, 0.0),
    Carriage.FRONT_POCKET: (math.radians(40), 1.0),
    Carriage.BACK_POCKET: (math.radians(150), 1.0),
    Carriage.BAG: (math.radians(90), 2.0),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """A place's radio: path-loss exponent and the standard deviation of its shadowing in dB."""

    name: str
    exponent: float
    shadowing_sd_db: float


OPEN_AREA: Final = Environment("an open lunch area", exponent=2.0, shadowing_sd_db=4.0)
VEHICLE: Final = Environment("a bus", exponent=0.7, shadowing_sd_db=6.0)
"""Metal all around: Leith and Farrell (PLOS ONE 0239943) saw hardly any loss with distance in a tram."""


@dataclass(frozen=True, slots=True)
class Handset:
    """One phone's radio as it is (dBm, dB); nobody knows these numbers exactly, see `Calibration`."""

    tx_power_dbm: float
    rssi_offset_db: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the phone believes about its own radio: the power it writes into its metadata, its RSSI correction."""

    tx_power_dbm: int
    rssi_correction_db: float


@dataclass(frozen=True, slots=True)
class Placement:
    """A person with a phone at a place: metres, heading in radians, and the loss of this seat's own body in dB."""

    place: str
    x_m: float
    y_m: float
    heading_rad: float
    carriage: Carriage
    body_db: float

    def body_loss_db(self, x_m: float, y_m: float) -> float:
        """Return what the person's own body costs on the way to a point."""
        offset_rad, cover_db = _CARRIED[self.carriage]
        bearing = math.atan2(y_m - self.y_m, x_m - self.x_m)
        behind = (1.0 - math.cos(bearing - self.heading_rad - offset_rad)) / 2.0
        return cover_db + self.body_db * behind

    def distance_m(self, other: "Placement") -> float:
        """Return the distance between two people at one place."""
        return math.hypot(other.x_m - self.x_m, other.y_m - self.y_m)


def draw_handset(streams: NamedStreams, name: str) -> tuple[Handset, Calibration]:
    """Draw a phone's radio and its calibration of high confidence."""
    draws = streams.generator("handset", name)
    handset = Handset(
        float(np.clip(draws.normal(TX_POWER_MEAN_DBM, TX_POWER_SD_DB), -45.0, 10.0)),
        float(draws.normal(RSSI_OFFSET_MEAN_DB, RSSI_OFFSET_SD_DB)),
    )
    said_power = handset.tx_power_dbm + draws.normal(0.0, CALIBRATION_SD_DB)
    said_correction = handset.rssi_offset_db + draws.normal(0.0, CALIBRATION_SD_DB)
    return handset, Calibration(round(said_power), float(said_correction))


def path_loss_db(distance_m: float, environment: Environment) -> float:
    """Return the mean loss over a distance without people (log-distance law)."""
    return PATH_LOSS_AT_1_M_DB + 10.0 * environment.exponent * math.log10(max(distance_m, NEAREST_M))


def occluders(sender: Placement, receiver: Placement, others: Sequence[Placement]) -> list[int]:
    """Return the positions in `others` of the people who stand or sit in the way."""
    way = np.array([receiver.x_m - sender.x_m, receiver.y_m - sender.y_m])
    length = float(np.hypot(*way))
    found = []
    for number, person in enumerate(others):
        to_person = np.array([person.x_m - sender.x_m, person.y_m - sender.y_m])
        along = float(to_person @ way) / length if length else 0.0
        across = abs(float(way[0] * to_person[1] - way[1] * to_person[0])) / length if length else math.inf
        if OCCLUDER_RADIUS_M < along < length - OCCLUDER_RADIUS_M and across < OCCLUDER_RADIUS_M:
            found.append(number)
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two placed phones: its mean RSSI in dBm before shadowing and fading, and its place."""

    name: str
    mean_dbm: float
    blocked: bool
    environment: Environment


def link(  # noqa: PLR0917 - see PLR0913 in pyproject.toml
    streams: NamedStreams,
    name: str,
    ends: tuple[Handset, Handset],
    placements: tuple[Placement, Placement],
    others: Mapping[str, Placement],
    environment: Environment,
) -> Link:
    """Work out a link from sender to receiver among the other people of the place."""
    (sender, receiver), (here, there) = ends, placements
    names = list(others)
    body_db = here.body_loss_db(there.x_m, there.y_m) + there.body_loss_db(here.x_m, here.y_m)
    in_the_way = [names[at] for at in occluders(here, there, list(others.values()))]
    occluded_db = sum(streams.generator("occluder", person, name).uniform(*OTHER_BODY_DB) for person in in_the_way)
    loss_db = path_loss_db(here.distance_m(there), environment) + body_db + occluded_db
    mean_dbm = sender.tx_power_dbm - receiver.rssi_offset_db - loss_db
    return Link(name, mean_dbm, bool(in_the_way) or body_db >= BLOCKED_FROM_DB, environment)


def shadowing_db(streams: NamedStreams, link: Link, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return slow changes: a normal process whose memory, drawn per pair, is 5 to 30 s."""
    memory_s = streams.generator("shadowing memory", link.name).uniform(*SHADOWING_CORRELATION_S)
    key = streams.key("shadowing", link.name)
    knots, part = np.divmod(times_s / memory_s, 1.0)
    before, after = (normals(key, knots.astype(np.int64) + step)[0] for step in (0, 1))
    # On the circle, not on the line: the variance between two knots is that at the knots.
    turn = part * (math.pi / 2.0)
    return link.environment.shadowing_sd_db * (before * np.cos(turn) + after * np.sin(turn))


def fading_db(streams: NamedStreams, link: Link, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fast changes on the channel that the scanner happens to hear: Rician in sight, Rayleigh when blocked."""
    drawn = uniforms(streams.key("channel", link.name), np.round(times_s * 1000.0).astype(np.int64))
    channel = (drawn * CHANNELS).astype(np.int64)
    moment = np.floor(times_s / FADING_COHERENCE_S).astype(np.int64)
    real, imaginary = normals(streams.key("fading", link.name), moment * CHANNELS + channel)
    k = 0.0 if link.blocked else 10.0 ** (RICIAN_K_DB / 10.0)
    scatter = math.sqrt(1.0 / (2.0 * (k + 1.0)))
    power = (math.sqrt(k / (k + 1.0)) + scatter * real) ** 2 + (scatter * imaginary) ** 2
    return 10.0 * np.log10(np.maximum(power, 1e-6))


def rssi_dbm(streams: NamedStreams, link: Link, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the receiver would report at each time, in whole dBm; NaN where the advertisement is lost."""
    heard = link.mean_dbm + shadowing_db(streams, link, times_s) + fading_db(streams, link, times_s)
    return np.where(heard < SENSITIVITY_DBM, np.nan, np.clip(np.round(heard), -127.0, 20.0))
