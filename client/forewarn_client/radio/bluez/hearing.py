"""What bleak hears: a scan that is begun, interrupted for a rotation, gone on with, and ended."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters, BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakDBusError, BleakError
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from forewarn_client.radio import REAL_RSSI_DBM, AdvertisingReport
from forewarn_client.radio.bluez.advertisement import uuid_128
from forewarn_client.radio.bluez.bluetoothd import CallFailed
from forewarn_client.radio.bluez.kernel_monitor import KernelMonitor
from forewarn_client.radio.bluez.management_packets import Sample
from forewarn_client.radio.bluez.scanners_bus import close_scanners_bus
from forewarn_client.radio.bluez.sentences import NO_BUS, NONSENSE, SILENT
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock

_ANY_STRENGTH_DBM: Final = -127
"""As a filter it is no filter, but with it bluetoothd reports each change of strength."""
_MOST_WAITING: Final = 4096
"""Reports between two turns of their reader; a flood beyond is lost rather than kept."""
_NO_BUS: Final = (OSError, EOFError, AuthError, InvalidAddressError)
# What bleak itself raises where an answer lacks a part, or is of another kind than it expects.
_NOT_UNDERSTOOD: Final = (AssertionError, AttributeError, BleakError, DBusError, LookupError, TypeError, ValueError)


class Hearing:
    """One scan window on one adapter. The caller holds the lock over `begin` and `pause`.

    With a tap in the kernel a passive scan is enough: bluetoothd's where it offers one (`passive`), else the kernel's.
    Without a tap, an active scanner that begins after bluetoothd's passive one gets every sample.
    """

    def __init__(
        self,
        adapter: str,
        service_uuid: int,
        clock: Clock,
        patience_s: float,
        monitor: KernelMonitor,
        *,
        passive: bool,
    ) -> None:
        self._adapter = adapter
        self._uuid = uuid_128(service_uuid)
        self._pattern = OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, service_uuid.to_bytes(2, "little"))
        self._clock = clock
        self._patience_s = patience_s
        self._monitor = monitor
        self._management = monitor.management
        self._passive = passive
        self._scanners: list[BleakScanner] = []
        self._heard: list[AdvertisingReport] = []
        self.fault: Missing | None = None

    async def begin(self) -> None:
        """Scan, or go on.

        Raises:
            CallFailed: bluetoothd refuses; nothing scans then.
            Missing: bluetoothd is not there, or makes no sense.
        """
        is_tapped = self._management.is_tapped
        try:
            # Each sample counts once: where the kernel tells of it, nothing that bluetoothd tells of does.
            self._management.listen(self._keep if is_tapped else None)
            if is_tapped and not self._passive and await self._monitor.begin():
                return
            if self._passive:
                await self._start(self._passive_scanner())
            if not (self._passive and is_tapped):
                await self._start(self._active_scanner(_ignore if is_tapped else self._hear))
        except BaseException:
            await self.pause()
            await close_scanners_bus(self._patience_s)
            raise

    async def pause(self) -> None:
        """Stop scanning; harmless when nothing scans, and where bluetoothd has gone nothing does."""
        self._management.listen(None)
        await self._monitor.end()
        while self._scanners:
            try:
                await self._step(self._scanners.pop().stop())
            except (CallFailed, Missing):
                await close_scanners_bus(self._patience_s)

    def take(self, closes_s: float) -> Iterator[AdvertisingReport]:
        """Yield what was heard since the last call, up to the end of the window; raise `fault` where there is one."""
        if self.fault is not None:
            raise self.fault
        heard, self._heard = self._heard, []
        yield from (report for report in heard if report.monotonic_s < closes_s)

    def _passive_scanner(self) -> BleakScanner:
        # Its callback hears nothing: what it gets, the kernel or the active scanner has told of, too.
        bluez = BlueZScannerArgs(adapter=self._adapter, or_patterns=[self._pattern])
        return BleakScanner(_ignore, scanning_mode="passive", bluez=bluez)

    def _active_scanner(self, hear: Callable[[BLEDevice, AdvertisementData], None]) -> BleakScanner:
        filters = BlueZDiscoveryFilters(RSSI=_ANY_STRENGTH_DBM, DuplicateData=True)
        return BleakScanner(hear, bluez=BlueZScannerArgs(adapter=self._adapter, filters=filters))

    async def _start(self, scanner: BleakScanner) -> None:
        self._scanners.append(scanner)
        await self._step(scanner.start())

    async def _step(self, step: Any) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await step
        except BleakDBusError as error:
            raise CallFailed(error.dbus_error) from error
        except TimeoutError as error:
            raise Missing(SILENT) from error
        except _NO_BUS as error:
            raise Missing(NO_BUS) from error
        except _NOT_UNDERSTOOD as error:
            raise Missing(NONSENSE) from error

    def _hear(self, device: BLEDevice, heard: AdvertisementData) -> None:
        """Keep a sample of the service; bluetoothd also replays what it knew before the window opened."""
        service_data = heard.service_data.get(self._uuid, b"")
        if len(service_data) != SERVICE_DATA_BYTES or heard.rssi not in REAL_RSSI_DBM:
            return
        try:
            address = bytes.fromhex(device.address.replace(":", ""))
        except (AttributeError, ValueError):  # no address: nothing that a controller received
            return
        self._keep(Sample(address, heard.rssi, service_data))

    def _keep(self, sample: Sample) -> None:
        if len(self._heard) < _MOST_WAITING:
            now_s = self._clock.monotonic()
            self._heard.append(AdvertisingReport(now_s, sample.address, sample.rssi_dbm, sample.service_data))


def _ignore(device: BLEDevice, heard: AdvertisementData) -> None:
    del device, heard
