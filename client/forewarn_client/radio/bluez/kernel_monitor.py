"""A passive scan by the kernel itself, for a bluetoothd that offers none: it only does with --experimental.

bluetoothd knows nothing of it, and nothing ends it when this process dies: what was left is ended at the start.
"""

import struct
from typing import Final

from forewarn_client.radio.bluez.management import Management, Refused
from forewarn_client.radio.bluez.management_packets import Command
from forewarn_protocol.errors import Missing

_SERVICE_DATA_16: Final = 0x16
_PATTERN: Final = struct.Struct("<BBBB31s")
"""How many there are, and the first: field, offset, length, bytes."""
_HANDLE: Final = struct.Struct("<H")
_ALL: Final = _HANDLE.pack(0)


class KernelMonitor:
    """One monitor for the service data of ours: while there is one, the kernel scans passively and tells of all."""

    def __init__(self, management: Management, service_uuid: int) -> None:
        self.management = management
        uuid = service_uuid.to_bytes(2, "little")
        self._pattern = _PATTERN.pack(1, _SERVICE_DATA_16, 0, len(uuid), uuid)
        self._handle: bytes | None = None
        self._cleared = False

    async def clear(self) -> None:
        """End what a process before this one has left, and whatever of this one could not be ended."""
        if self.management.is_tapped and not self._cleared and self._handle is None:
            self._cleared = await self._remove(_ALL)

    async def begin(self) -> bool:
        """Scan, or go on; tell whether the kernel does."""
        if self._handle is None:
            try:
                answer = await self.management.ask(Command.ADD_MONITOR, self._pattern)
            except (Refused, Missing):
                return False
            self._handle = answer[: _HANDLE.size]
        return True

    async def end(self) -> None:
        """Scan no longer; harmless when nothing scans."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._cleared = await self._remove(handle)

    async def _remove(self, handle: bytes) -> bool:
        try:
            await self.management.ask(Command.REMOVE_MONITOR, handle)
        except (Refused, Missing):
            return False
        return True
