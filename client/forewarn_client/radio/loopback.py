"""An air inside one process: radios that hear each other's 31 bytes, as far as a propagation model lets them."""

import math
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Protocol

from forewarn_client.radio import AdvertisingReport, Capabilities
from forewarn_client.radio.addresses import draw_address
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import EXPOSURE_NOTIFICATION_UUID, Payload, decode, encode
from forewarn_protocol.errors import BadAdvertisement, Missing
from forewarn_shell.clock import Clock

_LONGEST_WINDOW_S: Final = 60.0


class Propagation(Protocol):
    """How strongly one radio hears another."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        """Return the strength of one advertisement in dBm, or None where it is not received."""
        ...


class EmptyRoom:
    """The propagation of a radio that nobody hears, and that hears nobody."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        """Return None."""
        del sender, receiver, monotonic_s
        return None


@dataclass(slots=True)
class Transmission:
    """One identifier on the air: from whom, which bytes, from when to when, how often."""

    sender: str
    address: bytes = field(repr=False)
    advertisement: bytes = field(repr=False)
    starts_s: float
    interval_s: float
    ends_s: float = math.inf

    def times(self, opens_s: float, closes_s: float) -> Iterator[float]:
        """Yield when it is sent between two instants, the second excluded."""
        number = max(0, math.ceil((opens_s - self.starts_s) / self.interval_s))
        until_s = min(closes_s, self.ends_s)
        while (sent_s := self.starts_s + number * self.interval_s) < until_s:
            yield sent_s
            number += 1


class Air:
    """What is being sent, and by whom; radios are known by name."""

    def __init__(self, clock: Clock, path_loss: Propagation) -> None:
        self.clock = clock
        self._path_loss = path_loss
        self._sent: dict[str, list[Transmission]] = {}

    def begin(self, transmission: Transmission) -> None:
        """Put a transmission on the air."""
        horizon_s = transmission.starts_s - _LONGEST_WINDOW_S
        kept = [t for t in self._sent.get(transmission.sender, ()) if t.ends_s > horizon_s]
        self._sent[transmission.sender] = [*kept, transmission]

    def heard(self, receiver: str, opens_s: float, closes_s: float, service_uuid: int) -> list[AdvertisingReport]:
        """Return what a radio receives between two instants, in order of time."""
        reports = []
        for sender, transmissions in self._sent.items():
            if sender == receiver:
                continue
            for transmission in transmissions:
                if transmission.ends_s <= opens_s or transmission.starts_s >= closes_s:
                    continue
                try:
                    service_data = decode(transmission.advertisement, service_uuid=service_uuid).service_data
                except BadAdvertisement:
                    continue  # another service's advertisement: nothing for this radio
                for sent_s in transmission.times(opens_s, closes_s):
                    rssi_dbm = self._path_loss.rssi_dbm(sender, receiver, sent_s)
                    if rssi_dbm is not None:
                        reports.append(AdvertisingReport(sent_s, transmission.address, rssi_dbm, service_data))
        reports.sort(key=attrgetter("monotonic_s"))
        return reports


class LoopbackRadio:
    """A radio on an `Air`."""

    def __init__(
        self, air: Air, name: str, timing: Timing, *, service_uuid: int = EXPOSURE_NOTIFICATION_UUID, flags: bool = True
    ) -> None:
        self.name = name
        self._air = air
        self._timing = timing
        self._service_uuid = service_uuid
        self._flags = flags
        self._started = False
        self._on_air: Transmission | None = None

    async def start(self) -> Capabilities:
        """Take hold of the air."""
        self._started = True
        return Capabilities(
            extended_advertising=True, every_rssi_sample=True, flags_settable=True, tx_power_range_dbm=(-50, 20)
        )

    async def advertise(self, payload: Payload) -> None:
        """Speak a payload under a new address; when something is on the air, stop it and pause first."""
        self._check_started()
        if self._on_air:
            await self.stop_advertising()
            clock = self._air.clock
            await clock.sleep_until(clock.monotonic() + self._timing.draw(self._timing.rotation_pause_s))
        self._on_air = Transmission(
            sender=self.name,
            address=self._new_address(),
            advertisement=encode(payload, flags=self._flags, service_uuid=self._service_uuid),
            starts_s=self._air.clock.monotonic(),
            interval_s=self._timing.draw(self._timing.advertise_interval_s),
        )
        self._air.begin(self._on_air)

    async def stay_on_air(self, until_s: float) -> None:
        """Wait: an air inside a process is never lost."""
        await self._air.clock.sleep_until(until_s)

    async def stop_advertising(self) -> None:
        """End what is on the air."""
        if self._on_air:
            self._on_air.ends_s = self._air.clock.monotonic()
            self._on_air = None

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Wait for the window's end, then yield what came in it."""
        self._check_started()
        opens_s = self._air.clock.monotonic()
        await self._air.clock.sleep_until(opens_s + window_s)
        for report in self._air.heard(self.name, opens_s, opens_s + window_s, self._service_uuid):
            yield report

    async def close(self) -> None:
        """Fall silent and leave the air."""
        await self.stop_advertising()
        self._started = False

    def _new_address(self) -> bytes:
        return draw_address(self._timing.random)

    def _check_started(self) -> None:
        if not self._started:
            raise Missing("the loopback radio is closed: start it first")
