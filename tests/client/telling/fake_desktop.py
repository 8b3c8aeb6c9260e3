"""A notification server on a private D-Bus, as a desktop has one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.Notifications"


@dataclass
class FakeDesktop:
    bus: MessageBus
    refuses: bool = False
    refused: int = 0
    shown: list[tuple[str, str]] = field(default_factory=list)
    hints: list[dict[str, Any]] = field(default_factory=list)

    def take(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "Notify":
            return None
        if self.refuses:
            self.refused += 1
            return Message.new_error(message, "org.freedesktop.DBus.Error.Failed", "not now")
        _, _, _, title, body, _, hints, _ = message.body
        self.shown.append((title, body))
        self.hints.append({name: hint.value for name, hint in hints.items()})
        return Message.new_method_return(message, "u", [len(self.shown)])


@asynccontextmanager
async def fake_desktop(address: str) -> AsyncIterator[FakeDesktop]:
    bus = await MessageBus(bus_address=address, bus_type=BusType.SESSION).connect()
    desktop = FakeDesktop(bus)
    bus.add_message_handler(desktop.take)
    await bus.request_name(NAME)
    try:
        yield desktop
    finally:
        bus.disconnect()
