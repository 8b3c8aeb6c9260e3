"""Random numbers by name: one seed, one stream per use, each number a function of (seed, name, counter).

Nothing is drawn 'next', so a new use shifts no other, and the order in which things are asked for does not matter.
"""

import hashlib
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_SECOND: Final = np.uint64(0xD1B54A32D192ED03)


class NamedStreams:
    """All streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, *name: object) -> np.random.Generator:
        """Return a fresh generator for one use, for draws whose number is not known before."""
        return np.random.Generator(np.random.Philox(key=self.key(*name)))

    def key(self, *name: object) -> int:
        """Return the 64-bit key of one stream; names are told apart by their `repr`."""
        digest = hashlib.blake2b(repr((self.seed, name)).encode(), digest_size=8).digest()
        return int.from_bytes(digest)


def uniforms(key: int, counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return numbers in (0, 1), one per counter: SplitMix64's finalizer (Steele, Lea, Flood 2014)."""
    mixed = counters.astype(np.uint64) * _GOLDEN + np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normals(key: int, counters: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two independent standard normal numbers per counter (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniforms(key, counters)))
    angle = 2.0 * math.pi * uniforms(key ^ int(_SECOND), counters)
    return radius * np.cos(angle), radius * np.sin(angle)
