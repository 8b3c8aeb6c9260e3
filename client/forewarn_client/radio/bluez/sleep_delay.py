"""logind's promise to wait a moment before the machine sleeps, so that what is on the air can be taken off it first."""

import os
from contextlib import suppress
from typing import Final

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

LOGIN: Final = "org.freedesktop.login1"
_PATH: Final = "/org/freedesktop/login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"
_ASKED: Final = ("sleep", "Forewarn", "what is spoken over Bluetooth ends first", "delay")


class SleepDelay:
    """A delay lock of logind (at most 5 s by its defaults); where there is no logind, sleep comes unannounced."""

    def __init__(self) -> None:
        self._lock: int | None = None

    async def hold(self, bus: MessageBus) -> None:
        """Ask for the lock, unless it is held."""
        if self._lock is not None:
            return
        reply = await bus.call(
            Message(
                destination=LOGIN,
                path=_PATH,
                interface=_MANAGER,
                member="Inhibit",
                signature="ssss",
                body=list(_ASKED),
            )
        )
        if reply.message_type is MessageType.METHOD_RETURN and reply.unix_fds:
            self._lock, *strange = reply.unix_fds
            for descriptor in strange:
                os.close(descriptor)

    def release(self) -> None:
        """Let the machine sleep."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with suppress(OSError):
                os.close(lock)
