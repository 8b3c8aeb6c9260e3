"""What bleak hears: a scan that is begun, interrupted for a rotation, gone on with, and ended."""

import asyncio
from collections.abc import Iterator
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
from forewarn_client.radio.bluez.sentences import NO_BUS, NONSENSE, SILENT
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock

_ANY_STRENGTH_DBM: Final = -127
"""As a filter it is no filter, but with it bluetoothd reports each change of strength."""
_NO_BUS: Final = (OSError, EOFError, AuthError, InvalidAddressError)
# What bleak itself raises where an answer lacks a part, or is of another kind than it expects.
_NOT_UNDERSTOOD: Final = (AssertionError, AttributeError, BleakError, DBusError, LookupError, TypeError, ValueError)


class Hearing:
    """One scan window on one adapter. The caller holds the lock over `begin` and `pause`.

    With `passive`, a passive scanner begins first: the active one beside it then gets every sample.
    """

    def __init__(self, adapter: str, service_uuid: int, clock: Clock, patience_s: float, *, passive: bool) -> None:
        self._adapter = adapter
        self._uuid = uuid_128(service_uuid)
        self._pattern = OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, service_uuid.to_bytes(2, "little"))
        self._clock = clock
        self._patience_s = patience_s
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
        filters = BlueZDiscoveryFilters(RSSI=_ANY_STRENGTH_DBM, DuplicateData=True)
        wanted = [BleakScanner(self._hear, bluez=BlueZScannerArgs(adapter=self._adapter, filters=filters))]
        if self._passive:
            bluez = BlueZScannerArgs(adapter=self._adapter, or_patterns=[self._pattern])
            # Its callback hears nothing: both are fed by the same signals, and each sample counts once.
            wanted.insert(0, BleakScanner(_ignore, scanning_mode="passive", bluez=bluez))
        try:
            for scanner in wanted:
                self._scanners.append(scanner)
                await self._step(scanner.start())
        except BaseException:
            await self.pause()
            raise

    async def pause(self) -> None:
        """Stop scanning; harmless when nothing scans, and where bluetoothd has gone nothing does."""
        while self._scanners:
            try:
                await self._step(self._scanners.pop().stop())
            except (CallFailed, Missing):
                continue

    def take(self, closes_s: float) -> Iterator[AdvertisingReport]:
        """Yield what was heard since the last call, up to the end of the window; raise `fault` where there is one."""
        if self.fault is not None:
            raise self.fault
        heard, self._heard = self._heard, []
        yield from (report for report in heard if report.monotonic_s < closes_s)

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
        self._heard.append(AdvertisingReport(self._clock.monotonic(), address, heard.rssi, service_data))


def _ignore(device: BLEDevice, heard: AdvertisementData) -> None:
    del device, heard
