"""An adapter of this Linux machine as bumble's source and sink, taken from the kernel by its user channel.

bumble has one of its own. Ours works where the interpreter was built without Bluetooth, and notices when the adapter
is pulled out.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from bumble.core import InvalidPacketError
from bumble.transport.common import ParserSource, Transport

from forewarn_client.radio.bluetooth_socket import USER_CHANNEL, open_channel
from forewarn_protocol.errors import Missing

_LONGEST_PACKET_BYTES: Final = 4096

_REASONS: Final[Mapping[int, str]] = {
    errno.EPERM: "this needs the capability CAP_NET_ADMIN: run it as the installed service, or with sudo",
    errno.EACCES: "this needs the capability CAP_NET_ADMIN: run it as the installed service, or with sudo",
    errno.EBUSY: 'it is in use: run "bluetoothctl power off", or stop the program that has it',
    errno.ENODEV: "there is no such adapter: plug it in, or name another in hci_transport",
    errno.ERFKILL: 'it is switched off: run "rfkill unblock bluetooth"',
    errno.EAFNOSUPPORT: "this system's kernel has no Bluetooth: load its modules, or use another transport",
}


class SocketSource(ParserSource):
    """Packets from a connected socket, until its other end is gone."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connected, self._read)

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._socket)

    def _read(self) -> None:
        # One packet a call: the loop calls again while there are more, and a flood starves nobody else.
        try:
            packet = self._socket.recv(_LONGEST_PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            with suppress(InvalidPacketError):  # a vendor's own kind: nothing for us
                self.parser.feed_data(packet)
        else:
            self.close()
            self.on_transport_lost()


class SocketSink:
    """Packets to a connected socket; few and small, so that its buffer holds them all."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def on_packet(self, packet: bytes) -> None:
        """Send one packet.

        Raises:
            OSError: the adapter is gone, or has taken none for so long that the buffer is full.
        """
        self._socket.send(packet)


class SocketTransport(Transport):
    """Both, over one socket that is closed with them."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(0)
        self._packets = SocketSource(connected)
        super().__init__(self._packets, SocketSink(connected))
        self._socket = connected

    async def close(self) -> None:
        """Give the adapter back."""
        self._packets.close()
        self._socket.close()


def open_adapter(index: int) -> SocketTransport:
    """Take an adapter by its number: hci0 is 0. It must be down, and bluetoothd must not hold it.

    Raises:
        Missing: there is none, it is in use, or this process may not.
    """
    try:
        return SocketTransport(open_channel(index, USER_CHANNEL))
    except OSError as error:
        raise Missing(_sentence(index, error.errno or 0)) from error


def _sentence(index: int, number: int) -> str:
    reason = _REASONS.get(number, f"{os.strerror(number)}: see hci_transport in the settings")
    return f"the Bluetooth adapter hci{index} can't be taken: {reason}"
