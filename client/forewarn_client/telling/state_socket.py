"""The daemon's state on a socket that its group may read: a line of JSON at once, and one whenever it changes.

Nothing is taken from it: a client that says anything is cut off. Who reads too slowly or comes when too many are there
is cut off too, and may come again.
"""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from forewarn_client.device import Device
from forewarn_client.telling.state import states
from forewarn_protocol.errors import Missing

MOST_CLIENTS: Final = 16
_MODE: Final = 0o660
_UNREAD_BYTES: Final = 256 * 1024
"""What may lie unread before a client counts as too slow; a state has a few kilobytes."""


async def share_state(device: Device, path: Path) -> AsyncGenerator[None, None]:
    """Tell whoever connects the state, for ever.

    Raises:
        Missing: the socket can't be made.
    """
    readers = _Readers()
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Reader(readers), sock=_bound(path))
    try:
        async for state in states(device):
            if state is not None:
                readers.tell(json.dumps(state).encode() + b"\n")
            yield
    finally:
        server.close()
        readers.cut_off()
        with suppress(OSError):
            _remove(path)


class _Readers:
    """The clients that are connected, and the line that each of them gets."""

    def __init__(self) -> None:
        self._line: bytes | None = None
        self._transports: set[asyncio.Transport] = set()

    def add(self, transport: asyncio.Transport) -> None:
        if len(self._transports) >= MOST_CLIENTS:
            transport.abort()
            return
        self._transports.add(transport)
        if self._line is not None:
            transport.write(self._line)

    def remove(self, transport: asyncio.Transport) -> None:
        self._transports.discard(transport)

    def tell(self, line: bytes) -> None:
        self._line = line
        for transport in tuple(self._transports):
            if transport.get_write_buffer_size() > _UNREAD_BYTES:
                transport.abort()
            else:
                transport.write(line)

    def cut_off(self) -> None:
        for transport in tuple(self._transports):
            transport.abort()


class _Reader(asyncio.Protocol):
    """One client."""

    def __init__(self, readers: _Readers) -> None:
        self._readers = readers
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._readers.add(transport)

    def data_received(self, data: bytes) -> None:
        del data  # nobody has anything to say here
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._readers.remove(self._transport)


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove(path)  # of an earlier run: there is one daemon to a data folder
        with short_name(path) as name:
            listener.bind(name)
        path.chmod(_MODE)  # nobody can connect before it listens, which it does from here on
    except OSError as error:
        listener.close()
        hint = "check state_socket, and the owner of its folder"
        raise Missing(f"{path} cannot be made ({error.strerror}): {hint}") from error
    return listener


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Give a name for a socket that fits into the 108 bytes which the system has for one, however deep it lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):  # anything else is somebody's, and bind says that it is in the way
            path.unlink()
