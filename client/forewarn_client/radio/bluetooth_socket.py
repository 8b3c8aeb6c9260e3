"""Sockets of the kernel's Bluetooth, on every interpreter: some were built without it."""

import ctypes
import os
import socket
import struct
from typing import Final

NO_ADAPTER: Final = 0xFFFF
"""What a channel for all adapters is bound to (net/bluetooth/hci.h)."""
USER_CHANNEL: Final = 1
CONTROL_CHANNEL: Final = 3
"""Management: commands to the kernel, and what it tells of its adapters."""

_AF_BLUETOOTH: Final = 31
_BTPROTO_HCI: Final = 1


def open_channel(adapter: int, channel: int) -> socket.socket:
    """Open a channel of an adapter, given by its number, for packets that do not block.

    Raises:
        OSError: the kernel has no Bluetooth, there is no such adapter, it is in use, or this process may not.
    """
    raw = socket.socket(_AF_BLUETOOTH, socket.SOCK_RAW, _BTPROTO_HCI)
    try:
        bind_channel(raw, adapter, channel)
        raw.settimeout(0)
    except OSError:
        raw.close()
        raise
    return raw


def bind_channel(raw: socket.socket, adapter: int, channel: int) -> None:
    """Bind a socket; raise OSError where the kernel refuses."""
    # Before 3.14 Python's own bind() has no word for the channel.
    address = struct.pack("=HHH", _AF_BLUETOOTH, adapter, channel)
    if ctypes.CDLL(None, use_errno=True).bind(raw.fileno(), address, len(address)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
