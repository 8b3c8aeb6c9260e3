"""A connection to the system bus: calls to bluetoothd, and what it says by itself about one adapter."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError, InvalidMessageError, SignatureBodyMismatchError

from forewarn_client.radio import StackBroken
from forewarn_client.radio.bluez.advertisement import Advertisement
from forewarn_client.radio.bluez.sentences import NO_BUS, NO_PLACE, NONSENSE, NOTHING_THERE, SILENT, sentence
from forewarn_client.radio.bluez.sleep_delay import LOGIN, SleepDelay
from forewarn_protocol.errors import Missing

BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"
ADVERTISING_MANAGER: Final = "org.bluez.LEAdvertisingManager1"
MONITOR_MANAGER: Final = "org.bluez.AdvertisementMonitorManager1"

_BUS: Final = "org.freedesktop.DBus"
_OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_RULES: Final = (
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{LOGIN}'",
    f"type='signal',sender='{BLUEZ}',interface='{_OBJECTS}'",
    f"type='signal',sender='{BLUEZ}',interface='{_PROPERTIES}',path_namespace='/org/bluez',arg0='{ADAPTER}'",
    f"type='signal',sender='{LOGIN}',member='PrepareForSleep'",
)
_BROKEN: Final = (AuthError, InvalidAddressError, OSError, EOFError, DBusError, InvalidMessageError)


class CallFailed(Exception):
    """Bluetoothd answered with an error; `name` is D-Bus's word for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Bluetoothd:
    """The service behind one adapter.

    `on_change` gets what happened, in a word: "off", "on", "connectable", "gone", "ended", "cut off", "sleep", "wake".
    """

    def __init__(self, adapter: str, patience_s: float, on_change: Callable[[str], None]) -> None:
        self.path = f"/org/bluez/{adapter}"
        self._patience_s = patience_s
        self._on_change = on_change
        self._bus: MessageBus | None = None
        self._watch: asyncio.Task[None] | None = None
        self._owners: dict[str, str] = {}
        self._taken_back: str | None = None
        self._sleep_delay = SleepDelay()

    @property
    def connected(self) -> bool:
        """Whether the bus is there."""
        return self._bus is not None and self._bus.connected

    async def connect(self) -> None:
        """Join the bus and ask to be told.

        Raises:
            StackBroken: there is no system bus, or it refuses.
        """
        await self.leave()
        try:
            bus = self._bus = MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
            async with asyncio.timeout(self._patience_s):
                await bus.connect()
                self._watch = asyncio.create_task(self._watch_end(bus), name="forewarn-client bluez bus")
                for rule in _RULES:
                    await self._ask(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", rule)
                for name in (BLUEZ, LOGIN):
                    await self._learn_owner(name)
            bus.add_message_handler(self._take)
        except (*_BROKEN, TimeoutError, CallFailed) as error:
            await self.leave()
            raise StackBroken(NO_BUS) from error
        except BaseException:
            await self.leave()
            raise

    async def delay_sleep(self) -> None:
        """Let the machine wait before it sleeps until `let_sleep` is called, where somebody can promise that."""
        if self._bus is not None and self._owners.get(LOGIN):
            with suppress(*_BROKEN, TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._sleep_delay.hold(self._bus)

    def let_sleep(self) -> None:
        """Nothing of ours is on the air any more."""
        self._sleep_delay.release()

    async def leave(self) -> None:
        """Leave the bus: bluetoothd then takes off the air whatever was ours."""
        self.let_sleep()
        if self._bus is not None:
            bus, self._bus = self._bus, None
            bus.disconnect()
            if self._watch is not None:
                # The socket is closed in a later turn of the loop.
                watch, self._watch = self._watch, None
                await asyncio.wait({watch}, timeout=self._patience_s)

    async def interfaces(self) -> dict[str, dict[str, Any]]:
        """Return the adapter's interfaces, each with its properties; empty where there is no such adapter.

        Raises:
            Missing: bluetoothd does not run, or does not answer.
            StackBroken: it answers nonsense.
        """
        try:
            (objects,) = await self.call("/", _OBJECTS, "GetManagedObjects")
            found = objects.get(self.path, {})
            return {name: {key: value.value for key, value in found[name].items()} for name in found}
        except CallFailed as error:
            said = sentence(error.name)
            raise (StackBroken if said == NONSENSE else Missing)(said) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise StackBroken(NONSENSE) from error

    async def register(self, path: str, advertisement: Advertisement) -> None:
        """Put an advertisement on the air.

        Raises:
            CallFailed: bluetoothd refuses.
            Missing: it does not answer; whether it is on the air is unknown, so the bus was left.
        """
        if self._bus is None:
            raise Missing(NO_BUS)
        self._bus.export(path, advertisement)
        try:
            await self._order("RegisterAdvertisement", "oa{sv}", path, {})
        except BaseException as error:
            if self._bus is not None:
                self._bus.unexport(path, advertisement)
            if not isinstance(error, CallFailed):
                await self.leave()
            elif error.name == NO_PLACE and self._taken_back is not None:
                # It may be held by the one before, whatever was answered then: the next try finds it free.
                with suppress(CallFailed, Missing):
                    await self._order("UnregisterAdvertisement", "o", self._taken_back)
            raise

    async def unregister(self, path: str, advertisement: Advertisement) -> None:
        """Take an advertisement off the air.

        Raises:
            Missing: bluetoothd won't, or makes no sense; the bus was left, so that it must.
        """
        self._taken_back = path
        try:
            await self._order("UnregisterAdvertisement", "o", path)
        except CallFailed as error:
            if error.name not in NOTHING_THERE:
                await self.leave()
                raise Missing(sentence(error.name)) from error
        except Missing:
            await self.leave()
            raise
        finally:
            if self._bus is not None:
                self._bus.unexport(path, advertisement)

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: object) -> list[Any]:
        """Call bluetoothd and return its answer's body.

        Raises:
            CallFailed: it answers with an error.
            Missing: there is no bus, or no answer in time.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._ask(BLUEZ, path, interface, member, signature, *body)
        except TimeoutError as error:
            raise Missing(SILENT) from error
        except (*_BROKEN, SignatureBodyMismatchError) as error:
            raise Missing(NO_BUS) from error

    async def _order(self, member: str, signature: str, *body: object) -> None:
        # Whoever answers with more than a yes may not have done it.
        if await self.call(self.path, ADVERTISING_MANAGER, member, signature, *body):
            raise Missing(NONSENSE)

    async def _ask(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[Any]:
        if self._bus is None:
            raise Missing(NO_BUS)
        reply = await self._bus.call(
            Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        if reply.message_type is MessageType.ERROR:
            raise CallFailed(reply.error_name or "")
        return list(reply.body)

    async def _learn_owner(self, name: str) -> None:
        try:
            body = await self._ask(_BUS, "/org/freedesktop/DBus", _BUS, "GetNameOwner", "s", name)
        except CallFailed:  # nobody has the name yet
            body = [""]
        self._owners[name] = body[0]

    async def _watch_end(self, bus: MessageBus) -> None:
        with suppress(Exception):  # how it ended is no matter
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        if self._bus is bus:
            self._on_change("cut off")

    def _take(self, message: Message) -> None:
        """Turn a signal into a word; whoever sends signals in another's name is not listened to."""
        if message.message_type is not MessageType.SIGNAL:
            return
        signal = (message.member, message.signature)
        if message.sender == _BUS and signal == ("NameOwnerChanged", "sss") and message.body[0] in self._owners:
            name, _, self._owners[name] = message.body
            change = "ended" if name == BLUEZ else None
        elif message.sender == self._owners[LOGIN] and signal == ("PrepareForSleep", "b"):
            change = "sleep" if message.body[0] else "wake"
        elif message.sender == self._owners[BLUEZ]:
            change = self._adapter_change(message)
        else:
            change = None
        if change is not None:
            self._on_change(change)

    def _adapter_change(self, message: Message) -> str | None:
        """Return what happened to our adapter, of all that bluetoothd tells."""
        body = message.body
        match (message.member, message.signature):
            case "PropertiesChanged", "sa{sv}as" if message.path == self.path and body[0] == ADAPTER:
                changed = {name: value.value for name, value in body[1].items()}
                if "Powered" in changed:
                    return "on" if changed["Powered"] is True else "off"
                return "connectable" if is_connectable(changed) else None
            case "InterfacesRemoved", "oas" if body[0] == self.path and ADAPTER in body[1]:
                return "gone"
            case "InterfacesAdded", "oa{sa{sv}}" if body[0] == self.path and ADAPTER in body[1]:
                return "on"
        return None


def is_connectable(properties: dict[str, Any]) -> bool:
    """Tell whether an adapter lets others connect, by its properties: only since BlueZ 5.69 it says so by itself."""
    return properties.get("Discoverable") is True or properties.get("Connectable") is True
