"""Advertising by the kernel itself, where bluetoothd refuses every advertisement: our exact bytes, one instance of it.

bluetoothd knows nothing of it, and nothing ends it when this process dies. So it ends by itself where the kernel counts
its time, and whatever an earlier process has left is removed before anything is spoken.
"""

import math
import struct
from typing import Final

from forewarn_client.radio.bluez.management import Management, Refused
from forewarn_client.radio.bluez.management_packets import Command, Status
from forewarn_client.radio.bluez.sentences import CONNECTABLE, KERNEL_HOLDS_ON, KERNEL_REFUSES
from forewarn_protocol.errors import Missing

_PARAMETERS: Final = struct.Struct("<BIHHIIb")
_DATA: Final = struct.Struct("<BBB")
_ADVERTISING: Final = struct.Struct("<BIHHBB")
_HAS_TIMEOUT: Final = 1 << 13
_HAS_INTERVALS: Final = 1 << 14
_UNIT_S: Final = 0.000625
_POWER_AS_IT_IS: Final = 127
_OLDER_WAY_HELPS: Final = frozenset({Status.UNKNOWN_COMMAND, Status.NOT_SUPPORTED, Status.INVALID_PARAMETERS})
_NOTHING_THERE: Final = Status.INVALID_PARAMETERS


class KernelAdvertising:
    """One advertisement at a time, non-connectable: the kernel draws a non-resolvable random address for each.

    On a controller without extended advertising it ends by itself after `ends_after_s`.
    """

    def __init__(self, management: Management, ends_after_s: float) -> None:
        self._management = management
        self._ends_after_s = min(math.ceil(ends_after_s), 0xFFFF)
        self._instance = 0
        self._cleared = False
        self.on_air = False

    @property
    def is_possible(self) -> bool:
        """Whether the kernel may be asked at all."""
        return self._management.features is not None

    async def clear(self) -> None:
        """Remove what a process before this one has left on the air; done once.

        Raises:
            Missing: the kernel won't.
        """
        features = self._management.features
        if features is not None and not self._cleared:
            # The last, for bluetoothd begins with the first. Where there is only one, it may be bluetoothd's.
            self._instance = features.instances
            if features.instances > 1:
                await self.end()
            self._cleared = True

    async def begin(self, advertisement: bytes, interval_s: float) -> None:
        """Put bytes on the air under a new address.

        Raises:
            Missing: the kernel won't, or would do it from the public address; nothing is on the air then.
        """
        if self._management.connectable:
            raise Missing(CONNECTABLE)
        self.on_air = True
        try:
            try:
                await self._begin_at_interval(advertisement, interval_s)
            except Refused as refusal:
                if refusal.status not in _OLDER_WAY_HELPS:
                    raise
                await self._begin_as_it_likes(advertisement)
        except Refused as refusal:
            await self.end()
            raise Missing(KERNEL_REFUSES) from refusal
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """Take off the air what is ours; harmless when nothing is.

        Raises:
            Missing: the kernel won't, and may go on; `on_air` stays true.
        """
        try:
            await self._management.ask(Command.REMOVE_ADVERTISING, bytes([self._instance]))
        except Refused as refusal:
            if refusal.status != _NOTHING_THERE:
                raise Missing(KERNEL_HOLDS_ON) from refusal
        self.on_air = False

    async def _begin_at_interval(self, advertisement: bytes, interval_s: float) -> None:
        timeout_s = self._timeout_s()
        units = round(interval_s / _UNIT_S)
        flags = _HAS_INTERVALS | (_HAS_TIMEOUT if timeout_s else 0)
        parameters = _PARAMETERS.pack(self._instance, flags, 0, timeout_s, units, units, _POWER_AS_IT_IS)
        await self._management.ask(Command.ADD_EXTENDED_PARAMETERS, parameters)
        data = _DATA.pack(self._instance, len(advertisement), 0) + advertisement
        await self._management.ask(Command.ADD_EXTENDED_DATA, data)

    async def _begin_as_it_likes(self, advertisement: bytes) -> None:
        await self.end()  # of the newer way, half may be there
        self.on_air = True
        parameters = _ADVERTISING.pack(self._instance, 0, 0, self._timeout_s(), len(advertisement), 0)
        await self._management.ask(Command.ADD_ADVERTISING, parameters + advertisement)

    def _timeout_s(self) -> int:
        # With extended advertising the controller would count, and kernels hand it no more than 65 s.
        features = self._management.features
        return 0 if features is None or features.extended else self._ends_after_s
