"""The kernel's management socket, beside bluetoothd: every sample of strength, and settings as soon as they change."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from forewarn_client.radio.bluetooth_socket import CONTROL_CHANNEL, NO_ADAPTER, open_channel
from forewarn_client.radio.bluez.management_packets import (
    CONNECTABLE,
    LONGEST_BYTES,
    Answer,
    Command,
    Event,
    Features,
    Packet,
    Sample,
    Status,
    Tap,
    command,
    current_settings,
    new_settings,
)
from forewarn_client.radio.bluez.sentences import KERNEL_SILENT
from forewarn_protocol.errors import Missing

OpenSocket = Callable[[], socket.socket]
open_control: Final[OpenSocket] = partial(open_channel, NO_ADAPTER, CONTROL_CHANNEL)


class Refused(Exception):
    """The kernel answered with a refusal; `status` is its word for it, None where there was no answer at all."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class Management:
    """The kernel behind one adapter. Where the socket can't be had, everything goes on without.

    `on_change` gets what happened, in a word: "connectable" or "removed".
    """

    def __init__(
        self,
        adapter: str,
        service_uuid: int,
        patience_s: float,
        on_change: Callable[[str], None],
        open_socket: OpenSocket = open_control,
    ) -> None:
        self._adapter = int(adapter.removeprefix("hci"))
        self._service_uuid = service_uuid
        self._patience_s = patience_s
        self._on_change = on_change
        self._open_socket = open_socket
        self._socket: socket.socket | None = None
        self._awaited: tuple[Command, asyncio.Future[Answer]] | None = None
        self._hear: Callable[[Sample], None] | None = None
        self._tap = Tap(service_uuid)
        self.connectable = False
        """Whether the kernel lets others connect: it then advertises from the public address, whatever was asked."""
        self.features: Features | None = None
        """What the kernel says of its advertising; None where this process has no right to more than settings."""

    async def open(self) -> None:
        """Open the socket, or what of it this process is allowed, and learn how the adapter stands."""
        try:
            if self._socket is None:
                self._socket = self._open_socket()
                asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)
            self._learn_settings(current_settings(await self.ask(Command.READ_INFORMATION)))
            # Who lacks CAP_NET_ADMIN may ask for an adapter's settings, and hears of nothing else.
            self.features = Features.of(await self.ask(Command.READ_ADVERTISING_FEATURES))
        except (OSError, Refused, Missing):
            self.features = None

    @property
    def is_tapped(self) -> bool:
        """Whether the kernel tells this process of each advertisement that is received."""
        return self.features is not None

    def listen(self, hear: Callable[[Sample], None] | None) -> None:
        """Hand on what is heard from now on; None: nothing."""
        self._tap = Tap(self._service_uuid)
        self._hear = hear

    async def ask(self, number: Command, parameters: bytes = b"") -> bytes:
        """Send a command, one at a time, and return the values of its answer.

        Raises:
            Refused: the kernel won't.
            Missing: it does not answer.
        """
        if self._socket is None:
            raise Refused(None)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._awaited = number, answered
        try:
            self._socket.send(command(number, self._adapter, parameters))
            async with asyncio.timeout(self._patience_s):
                answer = await answered
        except TimeoutError as error:
            raise Missing(KERNEL_SILENT) from error
        except OSError as error:
            raise Refused(None) from error
        finally:
            self._awaited = None
        if answer.status != Status.SUCCESS:
            raise Refused(answer.status)
        return answer.values

    def close(self) -> None:
        """Let go of the socket; harmless when repeated."""
        self.features, self.connectable, self._hear = None, False, None
        if self._socket is not None:
            with suppress(RuntimeError):  # its loop is closed, and watches nothing any more
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(OSError("the management socket has ended"))

    def _read(self, connected: socket.socket) -> None:
        # One packet a call: the loop calls again while there are more, and a flood starves nobody else.
        try:
            data = connected.recv(LONGEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif (packet := Packet.parse(data)) is not None and packet.adapter == self._adapter:
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if (answer := Answer.of(packet)) is not None:
            if self._awaited is not None and self._awaited[0] == answer.command and not self._awaited[1].done():
                self._awaited[1].set_result(answer)
        elif (settings := new_settings(packet)) is not None:
            self._learn_settings(settings)
        elif packet.event == Event.ADVERTISING_REMOVED:
            # Never by this socket's own wish; whether it was ours, who asks to end it finds out.
            self._on_change("removed")
        elif self._hear is not None and (sample := self._tap.take(packet)) is not None:
            self._hear(sample)

    def _learn_settings(self, settings: int | None) -> None:
        if settings is not None:
            self.connectable = bool(settings & CONNECTABLE)
            if self.connectable:
                self._on_change("connectable")
