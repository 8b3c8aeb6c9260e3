"""The desktop's notifications over D-Bus (Desktop Notifications Specification 1.2)."""

import asyncio
import logging
from typing import Final

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from forewarn_client.telling.news import Notification
from forewarn_protocol.errors import Missing

# Below its errors it writes every message, the text with it.
logging.getLogger("dbus_fast").setLevel(logging.CRITICAL)

_NAME: Final = "org.freedesktop.Notifications"
_PATH: Final = "/org/freedesktop/Notifications"
_PATIENCE_S: Final = 10.0
_NORMAL, _CRITICAL = 1, 2
_UNTIL_THE_SERVER_THINKS: Final = -1
_FOR_EVER: Final = 0


async def show(notification: Notification) -> None:
    """Show a notification on the desktop of this session.

    Raises:
        Missing: there is no session bus, or nothing on it that shows notifications.
    """
    bus: MessageBus | None = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            bus = await MessageBus(bus_type=BusType.SESSION).connect()
            reply = await bus.call(_message(notification))
    except (DBusFastError, OSError, EOFError, TimeoutError) as error:
        raise Missing("no desktop can be reached over D-Bus: log in to one") from error
    finally:
        if bus is not None:
            bus.disconnect()
    if reply.message_type is MessageType.ERROR:
        raise Missing(f"nothing on this desktop shows notifications ({reply.error_name}): install what does")


def _message(notification: Notification) -> Message:
    hints = {
        "urgency": Variant("y", _CRITICAL if notification.urgent else _NORMAL),
        # Servers that keep a history would hold it longer than the device does.
        "transient": Variant("b", not notification.urgent),
        "category": Variant("s", "im.received"),
    }
    timeout_ms = _FOR_EVER if notification.urgent else _UNTIL_THE_SERVER_THINKS
    body = ["Forewarn", 0, "", notification.title, notification.body, [], hints, timeout_ms]
    return Message(
        destination=_NAME, path=_PATH, interface=_NAME, member="Notify", signature="susssasa{sv}i", body=body
    )
