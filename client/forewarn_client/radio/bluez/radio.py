"""The radio: one lock over speaking and hearing, and silence as soon as bluetoothd or the adapter has a fault."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from forewarn_client.radio import AdvertisingReport, Capabilities, NotSpoken
from forewarn_client.radio.bluez.advertisement import Advertisement
from forewarn_client.radio.bluez.bluetoothd import (
    ADAPTER,
    ADVERTISING_MANAGER,
    MONITOR_MANAGER,
    Bluetoothd,
    CallFailed,
    is_connectable,
)
from forewarn_client.radio.bluez.hearing import Hearing
from forewarn_client.radio.bluez.kernel_advertising import KernelAdvertising
from forewarn_client.radio.bluez.kernel_monitor import KernelMonitor
from forewarn_client.radio.bluez.management import Management, OpenSocket, open_control
from forewarn_client.radio.bluez.sentences import (
    ASLEEP,
    CONNECTABLE,
    NO_BUS,
    NO_SERVICE,
    REFUSING,
    RELEASED,
    SWITCHED_OFF,
    WORTH_A_RETRY,
    no_adapter,
    sentence,
)
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import EXPOSURE_NOTIFICATION_UUID, SERVICE_DATA_BYTES, Payload, encode
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock

PATIENCE_S: Final = 10.0
"""Real seconds that bluetoothd has for an answer."""
_RETRIES_S: Final = (0.2, 0.4, 0.8, 1.6)
_LOOK_S: Final = 0.25
_LATE_S: Final = 60.0
"""What the longest rotation may take longer on a busy machine."""
_SHORT_WINDOWS: Final = 3
"""Without a passive scanner, bluetoothd reports a neighbour once for each time that a scan begins."""
_DEFAULT_POWER_DBM: Final = (-50, 20)

_log = logging.getLogger(__name__)


class BluezRadio:
    """A radio on one adapter of BlueZ. Rotation is unregistering and registering: bluetoothd draws a new address."""

    def __init__(
        self,
        adapter: str,
        clock: Clock,
        timing: Timing,
        *,
        service_uuid: int = EXPOSURE_NOTIFICATION_UUID,
        patience_s: float = PATIENCE_S,
        open_management: OpenSocket = open_control,
    ) -> None:
        self._adapter = adapter
        self._clock = clock
        self._timing = timing
        self._service_uuid = service_uuid
        self._patience_s = patience_s
        self._bluetoothd = Bluetoothd(adapter, patience_s, self._learn)
        self._management = Management(adapter, service_uuid, patience_s, self._learn, open_management)
        self._kernel = KernelAdvertising(self._management, timing.rotation_s[1] + _LATE_S)
        self._kernel_instead = False
        self._monitor = KernelMonitor(self._management, service_uuid)
        self._lock = asyncio.Lock()
        self._started = False
        self._passive = False
        self._fault: str | None = NO_BUS
        self._loss: str | None = None
        self._lost = asyncio.Event()
        self._spoken: tuple[str, Advertisement] | None = None
        self._count = 0
        self._hearing: Hearing | None = None
        self._must_hush = False
        self._hushing: asyncio.Task[None] | None = None
        self._resting: asyncio.Task[None] | None = None

    async def start(self) -> Capabilities:
        """Take hold of the adapter, anew after any fault."""
        async with self._lock:
            if not self._bluetoothd.connected:
                await self._bluetoothd.connect()
            elif self._fault == ASLEEP:
                raise Missing(ASLEEP)
            interfaces = await self._bluetoothd.interfaces()
            adapter, manager = interfaces.get(ADAPTER), interfaces.get(ADVERTISING_MANAGER)
            if adapter is None or manager is None:
                raise Missing(no_adapter(self._adapter))
            if adapter.get("Powered") is not True:
                raise Missing(SWITCHED_OFF)
            await self._management.open()
            await self._kernel.clear()
            if self._management.connectable or is_connectable(adapter):
                raise Missing(CONNECTABLE)
            await self._bluetoothd.delay_sleep()
            self._passive = MONITOR_MANAGER in interfaces
            if not self._passive:  # else all monitors are bluetoothd's, which ends them itself
                await self._monitor.clear()
            self._fault, self._started = None, True
            return replace(capabilities_of(manager), every_rssi_sample=self._management.is_tapped)

    async def advertise(self, payload: Payload) -> None:
        """Fall silent, pause, speak under the new address that bluetoothd draws; a running scan waits meanwhile."""
        self._demand_started()
        await _to_its_end(self._rotate(payload))

    async def stay_on_air(self, until_s: float) -> None:
        """Wait, and hear of a fault at once."""
        self._demand_started()
        waiting = asyncio.ensure_future(self._clock.sleep_until(until_s))
        fault = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({waiting, fault}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            fault.cancel()
        if self._loss is not None:
            raise Missing(self._loss)

    async def stop_advertising(self) -> None:
        """Unregister."""
        async with self._lock:
            await self._fall_silent()

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Hear until the window's end; the time that bluetoothd needs to begin is part of it."""
        self._demand_started()
        opens_s = self._clock.monotonic()
        closes_s = opens_s + window_s
        parts = 1 if self._passive or self._management.is_tapped else _SHORT_WINDOWS
        begins_s = [opens_s + window_s * part / parts for part in range(1, parts)]
        hearing = Hearing(
            self._adapter, self._service_uuid, self._clock, self._patience_s, self._monitor, passive=self._passive
        )
        try:
            await _to_its_end(self._begin(hearing))
            while (now_s := self._clock.monotonic()) < closes_s:
                if begins_s and now_s >= begins_s[0]:
                    del begins_s[0]
                    await _to_its_end(self._begin(hearing))
                await self._clock.sleep_until(min(now_s + _LOOK_S, closes_s, *begins_s))
                self._demand_started()
                for report in hearing.take(closes_s):
                    yield report
        finally:
            await _to_its_end(self._end(hearing))

    async def close(self) -> None:
        """Leave the bus: bluetoothd ends all that was ours."""
        for begun in (self._resting, self._hushing):
            if begun is not None:
                await asyncio.wait({begun})  # it must end: the kernel would go on for nobody
        async with self._lock:
            with suppress(Missing):
                await self._fall_silent()
            self._started = False
            self._management.close()
            await self._bluetoothd.leave()

    async def _rotate(self, payload: Payload) -> None:
        async with self._lock:
            hearing = self._hearing
            if hearing is not None:
                # A controller without extended advertising refuses a new address while it scans.
                await hearing.pause()
            try:
                if self._speaks:
                    await self._fall_silent()
                    await self._sleep(self._timing.draw(self._timing.rotation_pause_s))
                await self._register(payload)
            finally:
                if hearing is not None:
                    await self._go_on(hearing)

    async def _go_on(self, hearing: Hearing) -> None:
        try:
            await self._persist(hearing.begin)
        except Missing as fault:
            hearing.fault = fault  # the scan's own affair: what is on the air is in order

    async def _register(self, payload: Payload) -> None:
        self._demand_started()
        interval_s = self._timing.draw(self._timing.advertise_interval_s)
        self._loss = None
        self._lost.clear()
        advertisement = encode(payload, service_uuid=self._service_uuid)
        instead = partial(self._kernel.begin, advertisement, interval_s) if self._kernel.is_possible else None
        try:
            if self._kernel_instead and instead is not None:
                await instead()
            else:
                await self._persist(partial(self._announce, payload, interval_s), instead)
        except Missing as refused:
            if isinstance(refused.__cause__, CallFailed):  # an answer, and it was no
                raise NotSpoken(refused.message) from refused.__cause__
            raise
        # Its word is kept until it ends: whoever asked it each time would be silent for the tries.
        self._kernel_instead = self._kernel.on_air
        self._must_hush = False
        self._demand_started()

    async def _announce(self, payload: Payload, interval_s: float) -> None:
        self._count += 1
        path = f"/org/forewarn/advertisement{self._count}"
        advertisement = Advertisement(payload, self._service_uuid, interval_s, self._release)
        await self._bluetoothd.register(path, advertisement)
        self._spoken = path, advertisement

    @property
    def _speaks(self) -> bool:
        return self._spoken is not None or self._kernel.on_air

    async def _fall_silent(self) -> None:
        if self._kernel.on_air:
            await _to_its_end(self._kernel.end())
        if self._spoken is not None:
            spoken, self._spoken = self._spoken, None
            await _to_its_end(self._bluetoothd.unregister(*spoken))

    async def _begin(self, hearing: Hearing) -> None:
        async with self._lock:
            await hearing.pause()
            self._hearing = hearing
            await self._persist(hearing.begin)

    async def _end(self, hearing: Hearing) -> None:
        async with self._lock:
            self._hearing = None
            await hearing.pause()

    async def _persist(
        self, step: Callable[[], Awaitable[None]], instead: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Do a step; while another program seems to hold the radio, wait, longer each time, and try again.

        What bluetoothd then still fails in is done `instead`.
        """
        for wait_s in (*_RETRIES_S, None):
            try:
                return await step()
            except CallFailed as error:
                if wait_s is None and error.name == REFUSING and instead is not None:
                    _log.info("bluetoothd refuses; the kernel is asked itself")
                    return await instead()
                if wait_s is None or error.name not in WORTH_A_RETRY:
                    raise Missing(sentence(error.name)) from error
                _log.info("bluetoothd: %s; trying again in %.1f s", error.name, wait_s)
                await self._sleep(wait_s)
                self._demand_started()
        return None

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.monotonic() + seconds)

    def _demand_started(self) -> None:
        if not self._started:
            raise Missing("the radio bluez is closed: start it first")
        if not self._bluetoothd.connected:
            self._fault = self._fault or NO_BUS
        if self._fault is not None:
            raise Missing(self._fault)

    def _release(self) -> None:
        self._lose(RELEASED)

    def _lose(self, fault: str) -> None:
        """Take note that nothing of ours is on the air any more, or must be: the next payload is another one."""
        self._loss = fault
        self._lost.set()

    def _learn(self, change: str) -> None:
        faults = {
            "off": SWITCHED_OFF,
            "connectable": CONNECTABLE,
            "gone": no_adapter(self._adapter),
            "ended": NO_SERVICE,
            "cut off": NO_BUS,
            "sleep": ASLEEP,
            "wake": RELEASED,
        }
        if change == "removed" and self._kernel.on_air:
            self._lose(RELEASED)
        if change == "ended":
            self._kernel_instead = False  # another bluetoothd may not refuse
        if change in faults:
            self._must_hush = self._must_hush or self._speaks
            self._fault = faults[change]
            self._lose(self._fault)
        if change == "sleep" and (self._resting is None or self._resting.done()):
            self._resting = asyncio.create_task(self._rest(), name="forewarn-client bluez rest")
        if change in {"on", "wake"} and self._must_hush and (self._hushing is None or self._hushing.done()):
            self._hushing = asyncio.create_task(self._hush(), name="forewarn-client bluez hush")

    async def _rest(self) -> None:
        """Fall silent before the machine sleeps; asleep, or awake again, a controller may go on with it."""
        try:
            with suppress(Missing):
                async with self._lock:
                    await self._fall_silent()
        finally:
            self._bluetoothd.let_sleep()

    async def _hush(self) -> None:
        """Take off the air what the kernel may have put there again by itself.

        Without extended advertising it goes on with the old identifier, under a new address, when the power returns:
        whoever listens could join the two. Noise takes its place and ends at once.
        """
        noise = Payload.from_service_data(self._timing.random.randbytes(SERVICE_DATA_BYTES))
        with suppress(CallFailed, Missing):
            async with self._lock:
                if not self._must_hush:
                    return  # what was spoken since has taken its place
                if self._kernel_instead:
                    await self._fall_silent()
                    self._must_hush = False
                    return
                await self._fall_silent()
                path = "/org/forewarn/noise"
                advertisement = Advertisement(noise, self._service_uuid, self._timing.advertise_interval_s[0], _forget)
                await self._bluetoothd.register(path, advertisement)
                await self._bluetoothd.unregister(path, advertisement)
                self._must_hush = False


def _forget() -> None:
    """Let noise be released: nobody misses it."""


async def _to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Do a step whole, cancelled or not: half of one would leave bluetoothd scanning or speaking for nobody."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("a cancelled step failed: %s", type(error).__name__)
        raise


def capabilities_of(manager: dict[str, Any]) -> Capabilities:
    """Return what an adapter can do, by the properties of its advertising manager."""
    channels, powers = manager.get("SupportedSecondaryChannels"), manager.get("SupportedCapabilities")
    least, most = _DEFAULT_POWER_DBM
    if isinstance(powers, dict):
        low, high = (getattr(powers.get(name), "value", None) for name in ("MinTxPower", "MaxTxPower"))
        if isinstance(low, int) and isinstance(high, int) and low <= high:
            least, most = low, high
    return Capabilities(
        extended_advertising=isinstance(channels, list) and bool(channels),
        every_rssi_sample=False,  # what bleak gets depends on BlueZ's version
        flags_settable=False,
        tx_power_range_dbm=(least, most),
    )
