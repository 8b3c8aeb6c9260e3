"""A small kernel behind a management socket: it tells what adapters hear, and advertises by itself.

What was measured on a real one (6.1) is kept: which event tells of an advertisement in which kind of scan, the public
address on an adapter that others may connect to, what may be asked without rights.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

_PERMISSION_DENIED = 0x14
_INVALID_PARAMETERS, _UNKNOWN_COMMAND = 0x0D, 0x01
_HEADER = struct.Struct("<HHH")
_FEATURES = struct.Struct("<IBBBB")
_EXTENDED_FLAG = 1 << 7
INSTANCES = 5
DEVICE_FOUND, MONITOR_FOUND = 0x12, 0x2F


@dataclass
class Instance:
    """What the kernel advertises for us."""

    data: bytes
    interval_s: float
    ends_after_s: int
    flags: int


@dataclass
class FakeKernel:
    """`begin` and `end` put an instance of an adapter on the air and take it off."""

    begin: Callable[[int, Instance], None]
    end: Callable[[int], bool]
    scan: Callable[[int, bool], None] = lambda *_: None
    trusted: bool = False
    extended: bool = True
    connectable: set[int] = field(default_factory=set)
    wrong: dict[int, list[int | None]] = field(default_factory=dict)
    """By command, the statuses of the next answers instead of the true ones; None: no answer."""
    asked: list[int] = field(default_factory=list)
    instances: dict[int, Instance] = field(default_factory=dict)
    monitors: dict[int, bytes] = field(default_factory=dict)
    _planned: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    _sockets: list[socket.socket] = field(default_factory=list)

    def open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for one in (ours, theirs):
            one.settimeout(0)
        self._sockets.append(theirs)
        asyncio.get_running_loop().add_reader(theirs, self._read, theirs)
        return ours

    def close(self) -> None:
        for one in self._sockets:
            asyncio.get_running_loop().remove_reader(one)
            one.close()
        self._sockets.clear()

    def send(self, event: int, adapter: int, body: bytes) -> None:
        """Send an event to every process that listens."""
        for one in self._sockets:
            one.send(_HEADER.pack(event, adapter, len(body)) + body)

    def tell(self, event: int, adapter: int, heard: bytes, *, handle: int = 0) -> None:
        """Tell of an advertisement that was heard, to those who may know."""
        if self.trusted:
            self.send(event, adapter, (struct.pack("<H", handle) if event == MONITOR_FOUND else b"") + heard)

    def set_connectable(self, adapter: int, *, on: bool) -> None:
        (self.connectable.add if on else self.connectable.discard)(adapter)
        self.send(0x06, adapter, self._settings(adapter))

    def remove(self, adapter: int) -> None:
        """End an instance of ours, and say so."""
        self.end(adapter)
        del self.instances[adapter]
        self.send(0x24, adapter, bytes([INSTANCES]))

    def _settings(self, adapter: int) -> bytes:
        return struct.pack("<I", 1 | (2 if adapter in self.connectable else 0))

    def _read(self, one: socket.socket) -> None:
        packet = one.recv(4096)
        if not packet:
            asyncio.get_running_loop().remove_reader(one)
            self._sockets.remove(one)
            one.close()
            return
        number, adapter, _ = _HEADER.unpack_from(packet)
        self.asked.append(number)
        status, values = self._answer(number, adapter, packet[_HEADER.size :])
        if status is None:
            return
        event, body = (1, values) if status == 0 else (2, b"")
        answer = struct.pack("<HB", number, status) + body
        one.send(_HEADER.pack(event, adapter, len(answer)) + answer)

    def _answer(self, number: int, adapter: int, body: bytes) -> tuple[int | None, bytes]:
        if self.wrong.get(number):
            return self.wrong[number].pop(0), b""
        if number == 0x04:
            return 0, bytes(6) + bytes(7) + self._settings(adapter) + bytes(3)
        if not self.trusted:
            return _PERMISSION_DENIED, b""
        if number == 0x3D:
            return 0, _FEATURES.pack(_EXTENDED_FLAG if self.extended else 0, 31, 31, INSTANCES, 0)
        if number in {0x52, 0x53}:
            return self._monitor(number, adapter, body), b"\7\0"
        return self._advertise(number, adapter, body), body[:1]

    def _monitor(self, number: int, adapter: int, body: bytes) -> int:
        """Scan passively for a pattern, or no longer; handle 0 is all there are."""
        if number == 0x52:
            self.monitors[adapter] = body[4 : 4 + body[3]]
        elif self.monitors.pop(adapter, None) is None and body != bytes(2):
            return _INVALID_PARAMETERS
        self.scan(adapter, number == 0x52)
        return 0

    def _advertise(self, number: int, adapter: int, body: bytes) -> int:
        if number == 0x3F:
            self.instances.pop(adapter, None)
            return 0 if self.end(adapter) else _INVALID_PARAMETERS
        if number == 0x54:
            _, flags, _, timeout, units, _, _ = struct.unpack("<BIHHIIb", body)
            self._planned[adapter] = (flags, timeout if flags & 1 << 13 else 0, units * 0.000625)
        elif number == 0x55:
            flags, timeout, interval_s = self._planned.pop(adapter)
            self._begin(adapter, Instance(body[3:], interval_s, timeout, flags))
        elif number == 0x3E:
            _, flags, _, timeout, _, _ = struct.unpack_from("<BIHHBB", body)
            self._begin(adapter, Instance(body[11:], 0.1, timeout, flags))
        else:
            return _UNKNOWN_COMMAND
        return 0

    def _begin(self, adapter: int, instance: Instance) -> None:
        self.end(adapter)
        self.instances[adapter] = instance
        self.begin(adapter, instance)


def heard(address: str, data: bytes, rssi_dbm: int) -> bytes:
    """Return what both events say of an advertisement under a random address."""
    return bytes.fromhex(address.replace(":", ""))[::-1] + struct.pack("<BbIH", 2, rssi_dbm, 4, len(data)) + data
