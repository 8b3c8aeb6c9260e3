"""The kernel's management packets, as bytes: what is asked of it, what it answers, what its controllers heard.

Names and numbers are those of BlueZ's doc/mgmt-api.txt. All integers are little-endian. What was heard is a stranger's:
no bytes make these functions raise.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from forewarn_client.radio import REAL_RSSI_DBM
from forewarn_protocol.advertisement import decode
from forewarn_protocol.errors import BadAdvertisement

LONGEST_BYTES: Final = 4096
"""More than the kernel ever sends at once."""
CONNECTABLE: Final = 1 << 1
"""Of an adapter's settings."""

_EXTENDED: Final = 1 << 7
"""Of what an adapter's advertising supports: a second channel, which extended advertising alone has."""

_HEADER: Final = struct.Struct("<HHH")
_ANSWER: Final = struct.Struct("<HB")
_FEATURES: Final = struct.Struct("<IBBB")
_HEARD: Final = struct.Struct("<6sBbIH")
_HANDLE: Final = struct.Struct("<H")
_ADDRESS_BYTES: Final = 6


class Command(IntEnum):
    """What is asked of the kernel."""

    READ_INFORMATION = 0x0004
    READ_ADVERTISING_FEATURES = 0x003D
    ADD_ADVERTISING = 0x003E
    REMOVE_ADVERTISING = 0x003F
    ADD_MONITOR = 0x0052
    REMOVE_MONITOR = 0x0053
    ADD_EXTENDED_PARAMETERS = 0x0054
    ADD_EXTENDED_DATA = 0x0055


class Event(IntEnum):
    """What it tells."""

    COMPLETE = 0x0001
    STATUS = 0x0002
    NEW_SETTINGS = 0x0006
    DEVICE_FOUND = 0x0012
    ADVERTISING_REMOVED = 0x0024
    MONITOR_DEVICE_FOUND = 0x002F


class Status(IntEnum):
    """What an answer says; of the refusals, those that are told apart."""

    SUCCESS = 0x00
    UNKNOWN_COMMAND = 0x01
    NOT_SUPPORTED = 0x0C
    INVALID_PARAMETERS = 0x0D


@dataclass(frozen=True, slots=True)
class Packet:
    """One event: its number, the adapter's number, and the rest."""

    event: int
    adapter: int
    body: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Split an event; None where it is not whole."""
        if len(data) < _HEADER.size:
            return None
        event, adapter, length = _HEADER.unpack_from(data)
        body = data[_HEADER.size :]
        return cls(event, adapter, body) if len(body) == length else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel says to a command."""

    command: int
    status: int
    values: bytes = field(repr=False)

    @classmethod
    def of(cls, packet: Packet) -> Self | None:
        """Read the answer in an event; None where it is none."""
        if packet.event not in {Event.COMPLETE, Event.STATUS} or len(packet.body) < _ANSWER.size:
            return None
        number, status = _ANSWER.unpack_from(packet.body)
        return cls(number, status, packet.body[_ANSWER.size :])


@dataclass(frozen=True, slots=True)
class Features:
    """What an adapter's advertising can do; `instances`: how many advertisements at once."""

    extended: bool
    instances: int

    @classmethod
    def of(cls, values: bytes) -> Self | None:
        """Read an answer; None where it is too short."""
        if len(values) < _FEATURES.size:
            return None
        supported, _, _, instances = _FEATURES.unpack_from(values)
        return cls(bool(supported & _EXTENDED), instances)


@dataclass(frozen=True, slots=True)
class Sample:
    """One advertisement that a controller received; the address with its most significant byte first."""

    address: bytes = field(repr=False)
    rssi_dbm: int
    service_data: bytes = field(repr=False)


class Tap:
    """The advertisements of one service in the events of one adapter, each of them once."""

    def __init__(self, service_uuid: int) -> None:
        self._service_uuid = service_uuid
        self._last: bytes = b""
        self._told_as: set[tuple[int, int]] = set()

    def take(self, packet: Packet) -> Sample | None:
        """Return what was heard; None for anything else, and for what was told already."""
        found = _found(packet)
        if found is None or self._is_told(*found):
            return None
        _, body = found
        if len(body) < _HEARD.size:
            return None
        address, _, rssi_dbm, _, length = _HEARD.unpack_from(body)
        data = body[_HEARD.size :]
        if rssi_dbm not in REAL_RSSI_DBM or len(data) != length:
            return None
        try:
            payload = decode(data, service_uuid=self._service_uuid)
        except BadAdvertisement:
            return None  # another service's, or nobody's
        return Sample(address[::-1], rssi_dbm, payload.service_data)

    def _is_told(self, told_as: tuple[int, int], body: bytes) -> bool:
        """Tell whether this is the advertisement before, told once more.

        Beside an active scan the kernel tells the first of each neighbour as both events, and with several monitors
        once for each, directly after one another. The next advertisement comes as the same event as one before it.
        """
        if body == self._last and told_as not in self._told_as:
            self._told_as.add(told_as)
            return True
        self._last, self._told_as = body, {told_as}
        return False


def command(number: Command, adapter: int, parameters: bytes = b"") -> bytes:
    """Lay out a command."""
    return _HEADER.pack(number, adapter, len(parameters)) + parameters


def current_settings(information: bytes) -> int | None:
    """Return an adapter's settings, of what it answers about itself; None where the answer is too short."""
    at = _ADDRESS_BYTES + struct.calcsize("<BHI")
    return _settings(information[at : at + 4])


def new_settings(packet: Packet) -> int | None:
    """Return the settings that an adapter has from now on; None where the event is another one."""
    return _settings(packet.body) if packet.event == Event.NEW_SETTINGS else None


def _settings(data: bytes) -> int | None:
    return int.from_bytes(data, "little") if len(data) == 4 else None  # noqa: PLR2004 - a uint32


def _found(packet: Packet) -> tuple[tuple[int, int], bytes] | None:
    """Return by which event and monitor something was heard, and the rest."""
    if packet.event == Event.DEVICE_FOUND:
        return (packet.event, 0), packet.body
    if packet.event == Event.MONITOR_DEVICE_FOUND and len(packet.body) >= _HANDLE.size:
        return (packet.event, _HANDLE.unpack_from(packet.body)[0]), packet.body[_HANDLE.size :]
    return None
