"""Addresses that lead nowhere: random, non-resolvable, drawn afresh for each identifier."""

from random import Random


def draw_address(random: Random) -> bytes:
    """Return a random non-resolvable address of 6 bytes, the most significant first."""
    # The two top bits are 00, and the rest is neither all zeros nor all ones
    # (Core Specification 5.3, vol 6 part B 1.3.2.2).
    while True:
        number = random.getrandbits(46)
        if 0 < number < (1 << 46) - 1:
            return number.to_bytes(6, "big")
