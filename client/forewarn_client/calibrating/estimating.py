"""Signal strengths of a bench → transmit power, receiver correction, and how far both can be trusted; arithmetic alone.

    power      = RSSI there + the reference's correction + loss
    correction = the reference's power - loss - RSSI here

Each RSSI is a median within an orientation, and the mean over orientations is one of powers, not of dB: what an antenna
sends in all directions together is the sum of its powers, and a null in one of them then weighs no more than it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, log10, pi, sqrt
from statistics import fmean, median_grouped, pstdev, stdev
from typing import Final

from forewarn_client.calibration import MAX_CORRECTION_DB
from forewarn_protocol.errors import BadInput
from forewarn_protocol.metadata import PLAUSIBLE_TX_DBM, Confidence
from forewarn_protocol.proximity import ProximityModel, power_mean_db

DISTANCES_M: Final = (0.5, 3.0)
"""Nearer, the antennas see more of each other's cases than of the air; farther, the room's reflections decide."""
LEAST_SAMPLES: Final = 12
"""Fewer in one orientation are no median."""
LEAST_ORIENTATIONS: Final = 2
FULL_TURN: Final = 4
"""Orientations of which the highest confidence can come."""
MOST_DEVIATION_DB: Final = 8.0
"""Of samples in one orientation: one advertising channel of three may lie in a deep fade, but nobody may walk by."""

_WAVELENGTH_M: Final = 299_792_458 / 2.44e9
_PLACED_WITHIN_M: Final = 0.1
_REFLECTIONS_DB: Final = 1.0
"""A table and a wall add and take away about so much, averaged over the three advertising channels: a first guess."""
_REFERENCE_DB: Final = 1.0
"""Tables give whole dB, and no two units of one model are alike: a first guess."""
_MEDIAN_COST: Final = pi / 2
"""A median varies so much more than a mean does, of normal samples."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one device heard of the other in one orientation: dBm, dB, samples."""

    median_dbm: float
    deviation_db: float
    samples: int

    @classmethod
    def of(cls, rssi_dbm: Sequence[int]) -> "Heard":
        """Sum up samples, at least one: receivers round to whole dBm, and the median is taken between them."""
        return cls(median_grouped(rssi_dbm), pstdev(rssi_dbm), len(rssi_dbm))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a reference device: the power it transmits with, what its RSSI lacks.

    Raises:
        BadInput: no device is like that.
    """

    tx_power_dbm: float
    correction_db: float

    def __post_init__(self) -> None:
        if not PLAUSIBLE_TX_DBM[0] <= self.tx_power_dbm <= PLAUSIBLE_TX_DBM[-1]:
            raise BadInput(f"--tx-power is {self.tx_power_dbm:g}: wanted: the reference device's power in dBm, -50..20")
        if not -MAX_CORRECTION_DB <= self.correction_db <= MAX_CORRECTION_DB:
            raise BadInput(
                f"--correction is {self.correction_db:g}: wanted: the reference device's receiver correction in dB, "
                f"-{MAX_CORRECTION_DB}..{MAX_CORRECTION_DB}"
            )


@dataclass(frozen=True, slots=True)
class Turned:
    """One orientation: what this device heard of the reference, and the reference of it."""

    here: Heard
    there: Heard


@dataclass(frozen=True, slots=True)
class Estimate:
    """Power and correction in dBm and dB, their standard errors in dB, and the protocol's word for the power's."""

    tx_power_dbm: float
    tx_error_db: float
    correction_db: float
    correction_error_db: float
    confidence: Confidence


def free_space_loss_db(distance_m: float) -> float:
    """Return what a free line costs (Friis); 40.2 dB for one metre.

    Raises:
        BadInput: a distance that no bench should have.
    """
    nearest, farthest = DISTANCES_M
    if not nearest <= distance_m <= farthest:
        raise BadInput(f"--distance is {distance_m:g}: wanted: metres between the antennas, {nearest:g}..{farthest:g}")
    return 20 * log10(4 * pi * distance_m / _WAVELENGTH_M)


def check_orientation(turned: Turned, number: int) -> None:
    """Refuse an orientation that is no measurement, while the devices still lie there.

    Raises:
        BadInput: too few samples, or too unlike each other.
    """
    for who, heard in (("this device", turned.here), ("the reference device", turned.there)):
        if heard.samples < LEAST_SAMPLES:
            raise BadInput(
                f"orientation {number}: {who} heard the other {heard.samples} times, {LEAST_SAMPLES} are needed: clear "
                "the line between them, end what else uses Bluetooth, and begin again"
            )
        if heard.deviation_db > MOST_DEVIATION_DB:
            raise BadInput(
                f"orientation {number}: what {who} heard varies by {heard.deviation_db:.1f} dB, at most "
                f"{MOST_DEVIATION_DB:g} is a measurement: let nobody move near the line, and begin again"
            )


def estimate(turns: Sequence[Turned], known: Known, distance_m: float) -> Estimate:
    """Work out what the orientations say together.

    Raises:
        BadInput: too few orientations, orientations too unlike, or a result that no device has.
    """
    if len(turns) < LEAST_ORIENTATIONS:
        raise BadInput(
            f"one orientation says nothing about a device that is turned: give at least {LEAST_ORIENTATIONS}"
        )
    loss_db = free_space_loss_db(distance_m)
    here, there = ([getattr(turn, side) for turn in turns] for side in ("here", "there"))
    power_dbm = power_mean_db([heard.median_dbm for heard in there]) + known.correction_db + loss_db
    correction_db = known.tx_power_dbm - loss_db - power_mean_db([heard.median_dbm for heard in here])
    if round(power_dbm) not in PLAUSIBLE_TX_DBM or abs(correction_db) > MAX_CORRECTION_DB:
        raise BadInput(
            f"no device sends with {power_dbm:.0f} dBm and hears {correction_db:+.0f} dB wrong: check the distance and "
            "the values given to the reference device"
        )
    tx_error_db, correction_error_db = (_error_db(side, distance_m) for side in (there, here))
    return Estimate(
        tx_power_dbm=power_dbm,
        tx_error_db=tx_error_db,
        correction_db=correction_db,
        correction_error_db=correction_error_db,
        confidence=_confidence(max(tx_error_db, correction_error_db), len(turns)),
    )


def _error_db(side: Sequence[Heard], distance_m: float) -> float:
    """Return a standard error: of the mean over orientations, of each median, and of the bench itself."""
    orientations = len(side)
    of_mean_db = stdev([heard.median_dbm for heard in side]) / sqrt(orientations)
    of_medians_db = sqrt(_MEDIAN_COST * fmean(heard.deviation_db**2 / heard.samples for heard in side) / orientations)
    placing_db = 20 * log10(1 + _PLACED_WITHIN_M / distance_m)
    return hypot(of_mean_db, of_medians_db, placing_db, _REFLECTIONS_DB, _REFERENCE_DB)


def _confidence(error_db: float, orientations: int) -> Confidence:
    """Return the best class whose spread, as receivers take it into account, covers the error."""
    spread_db = ProximityModel().spread_db
    best = Confidence.HIGH if orientations >= FULL_TURN else Confidence.MEDIUM
    for confidence in sorted(spread_db, reverse=True):
        if Confidence.NONE < confidence <= best and error_db <= spread_db[confidence]:
            return confidence
    raise BadInput(
        f"the orientations are too unlike: the result would be off by {error_db:.1f} dB, at most "
        f"{spread_db[Confidence.LOW]:g} says something: move away from metal and walls, and begin again"
    )
