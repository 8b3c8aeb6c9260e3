"""The seam to Bluetooth: what every radio can do, whatever stack is below it.

`loopback` is an air inside one process; `hci` speaks to a controller directly, without the system's Bluetooth. One
contract suite (tests/contracts/test_radio.py) runs on every radio.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final, Protocol

from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing

__all__ = ["REAL_RSSI_DBM", "AdvertisingReport", "Capabilities", "NotSpoken", "Radio", "StackBroken"]

REAL_RSSI_DBM: Final = frozenset(range(-126, 21)) - {0}
"""What a receiver can measure. Stacks report -127, 0 or 127 when they have no measurement."""


class NotSpoken(Missing):
    """The payload was refused, and nothing of it was ever on the air: it may still be spoken, for the first time."""


class StackBroken(Missing):
    """What lies between this process and any adapter is not there, or makes no sense: a person has to mend it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a radio turned out to be able to do once it was started; powers in dBm."""

    extended_advertising: bool
    every_rssi_sample: bool
    flags_settable: bool
    tx_power_range_dbm: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AdvertisingReport:
    """One advertisement as heard: when (monotonic seconds), from which address, how strong, which service data."""

    monotonic_s: float
    address: bytes = field(repr=False)
    rssi_dbm: int
    service_data: bytes = field(repr=False)


class Radio(Protocol):
    """Speak one payload and hear everybody else's.

    Rotation belongs to the radio, because each stack has its own safe order: stop, change identifier and address
    together, start again after a short random pause. Every method raises Missing when the hardware or its service is
    not there; the caller may try again later.
    """

    async def start(self) -> Capabilities:
        """Take hold of the hardware; nothing is on the air yet. Called again, take hold anew of what was lost.

        Raises StackBroken where no adapter that comes would help.
        """
        ...

    async def advertise(self, payload: Payload) -> None:
        """Speak `payload` under a new random non-resolvable address and a freshly drawn interval.

        The first call starts; a later one rotates. Nothing is on the air while the two change. Raises NotSpoken where
        it is certain that the payload was never on the air.
        """
        ...

    async def stay_on_air(self, until_s: float) -> None:
        """Return at `until_s` (monotonic); raise Missing as soon as what was spoken may no longer be on the air.

        What was lost is never spoken again: the caller takes a new identifier, and the radio a new address.
        """
        ...

    async def stop_advertising(self) -> None:
        """Fall silent; harmless when nothing is on the air."""
        ...

    def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Listen for `window_s` seconds and yield what is heard of the service, in order of time.

        A generator rather than any iterator, so that a caller who leaves early can close it and end the scan.
        """
        ...

    async def close(self) -> None:
        """Fall silent and let go of the hardware; harmless when repeated."""
        ...
