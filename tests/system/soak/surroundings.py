"""What a device lives in: a clock that can be set wrong and suspended, and a radio that has every fault there is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from forewarn_client.radio import AdvertisingReport, Capabilities, NotSpoken
from forewarn_client.radio.loopback import Air, LoopbackRadio, Propagation, Transmission
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Keeper
from forewarn_simulations.clocks import VirtualClock

GONE = "there is no Bluetooth adapter hci0: plug it in"
BUSY = "another program holds the radio: end what else scans or advertises over Bluetooth"
LOST = "bluetoothd took the advertisement off the air: nothing to do, a new one follows"


class DeviceClock:
    """One device's clock in a world that goes on: `error_s` is how wrong its Unix time is."""

    def __init__(self, world: VirtualClock) -> None:
        self._world = world
        self._asleep_until_s = 0.0
        self._suspended_s = 0.0
        self.error_s = 0.0
        self.keeper = Keeper.TIME_SERVICE

    def utc(self) -> float:
        return self._world.utc() + self.error_s

    def monotonic(self) -> float:
        return self._world.monotonic()

    def suspended_s(self) -> float:
        return self._suspended_s

    def kept_by(self) -> Keeper:
        return self.keeper

    def suspend(self, seconds: float) -> None:
        """Let none of the device's sleepers wake for so long; the world goes on."""
        self._asleep_until_s = self.monotonic() + seconds
        self._suspended_s += seconds

    async def sleep_until(self, monotonic_s: float) -> None:
        await self._world.sleep_until(monotonic_s)
        while self.monotonic() < self._asleep_until_s:
            await self._world.sleep_until(self._asleep_until_s)


class RecordingAir(Air):
    """An air that keeps what one of its radios ever sent."""

    def __init__(self, clock: VirtualClock, propagation: Propagation, name: str) -> None:
        super().__init__(clock, propagation)
        self._name = name
        self.sent: list[Transmission] = []

    def begin(self, transmission: Transmission) -> None:
        if transmission.sender == self._name:
            self.sent.append(transmission)
        super().begin(transmission)


@dataclass
class Bluetooth:
    """The state of the machine's Bluetooth, which outlives a daemon; `heard`: windows with what came in them.

    A window is (opened, monotonic; opened by the device's own clock, Unix; service data).
    """

    gone: bool = False
    refuses: bool = False
    is_scanned: bool = False
    losses: int = 0
    heard: list[tuple[float, float, bytes]] = field(default_factory=list)


class FaultyRadio(LoopbackRadio):
    """A loopback radio on a Bluetooth that can fail in every way; it notices what a real one does."""

    def __init__(self, air: Air, name: str, timing: Timing, clock: DeviceClock, bluetooth: Bluetooth) -> None:
        super().__init__(air, name, timing)
        self._clock = clock
        self._bluetooth = bluetooth
        self._held_since = -1
        self._loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> Capabilities:
        if self._bluetooth.gone:
            raise Missing(GONE)
        self._held_since = self._bluetooth.losses
        self._loss = asyncio.get_running_loop().create_future()
        return await super().start()

    async def advertise(self, payload: Payload) -> None:
        self._demand_held()
        if self._bluetooth.refuses or self._bluetooth.is_scanned:
            await self.stop_advertising()
            raise NotSpoken(BUSY)
        await super().advertise(payload)

    async def stay_on_air(self, until_s: float) -> None:
        sleep = asyncio.create_task(self._clock.sleep_until(until_s), name="stay on air")
        try:
            await asyncio.wait([sleep, self._loss], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            await asyncio.wait([sleep])
        self._demand_held()

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        self._demand_held()
        if self._bluetooth.is_scanned:
            raise Missing(BUSY)
        opens_s, unix_s = self._clock.monotonic(), self._clock.utc()
        await self._clock.sleep_until(opens_s + window_s)
        self._demand_held()
        noted = set[bytes]()
        for report in self._air.heard(self.name, opens_s, opens_s + window_s, self._service_uuid):
            if report.service_data not in noted:
                noted.add(report.service_data)
                self._bluetooth.heard.append((opens_s, unix_s, report.service_data))
            yield report

    def lose(self) -> None:
        """Take off the air what is on it, as a kernel does without being asked; whoever waits is told."""
        self._bluetooth.losses += 1
        self.cut()
        if not self._loss.done():
            self._loss.set_result(None)

    def cut(self) -> None:
        """End what is on the air; nobody is told."""
        if self._on_air:
            self._on_air.ends_s = self._clock.monotonic()
            self._on_air = None

    def _demand_held(self) -> None:
        if self._bluetooth.gone:
            raise Missing(GONE)
        if self._bluetooth.losses != self._held_since:
            raise Missing(LOST)
