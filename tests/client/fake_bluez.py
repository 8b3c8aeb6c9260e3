"""A small bluetoothd with the kernel below it: adapters that hear each other, and every way in which they fail.

It answers on a real, private dbus-daemon. What RADIO's measurements found on real ones is kept: a new address for each
registration, refusal while a scan runs on a controller without extended advertising, how often a neighbour is reported.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from bleak.backends.bluezdbus import manager as bleak_manager
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import decode
from forewarn_shell.clock import Clock
from tests.client.fake_kernel import DEVICE_FOUND, MONITOR_FOUND, FakeKernel, Instance, heard

_PROPERTIES = "org.freedesktop.DBus.Properties"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
NONSENSE, SILENCE = "nonsense", "silence"
PUBLIC = "F0:00:00:00:00:01"
_UUID = "0000fd6f-0000-1000-8000-00805f9b34fb"
Wrong = str | tuple[str, list[Any]]
"""An answer that is none: one of the two words above, an error's name, or a signature with a body."""


@dataclass
class Spoken:
    sender: str
    path: str
    address: str
    properties: dict[str, Any]
    task: asyncio.Task[None] | None = None


@dataclass
class Adapter:
    path: str
    powered: bool = True
    discoverable: bool = False
    spoken: list[Spoken] = field(default_factory=list)
    monitors: set[str] = field(default_factory=set)
    filters: dict[str, dict[str, Any]] = field(default_factory=dict)
    discovering: set[str] = field(default_factory=set)
    reported: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    heard_by_kernel: dict[str, Any] | None = None


@dataclass
class FakeBluez:
    bus: MessageBus
    clock: Clock
    legacy: bool = False
    experimental: bool = True
    keeps_address: bool = False
    rssi_dbm: int = -60
    strengths_dbm: Iterator[int] | None = None
    """Of one advertisement after the other, as the kernel tells of them; else all are `rssi_dbm`."""
    on_air: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    adapters: dict[str, Adapter] = field(default_factory=dict)
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    sleep_locks: list[int] = field(default_factory=list)
    """Our ends of the locks that delay sleep: one that reads as ended was released."""
    refused: int = 0
    refuses_all: bool = False
    """As some kernels of Raspberry Pi OS make it, whatever is registered."""
    _random: Random = field(default_factory=lambda: Random(7))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.kernel = FakeKernel(
            self._begin_instance, self._end_instance, self._scan_by_kernel, extended=not self.legacy
        )

    def radio(self, name: str, timing: Timing, **settings: Any) -> BluezRadio:
        return BluezRadio(name, self.clock, timing, open_management=self.kernel.open, **settings)

    def adapter(self, name: str) -> Adapter:
        path = f"/org/bluez/{name}"
        return self.adapters.setdefault(path, Adapter(path))

    async def vanish(self) -> None:
        """End bluetoothd: the kernel takes off the air what was there, and nobody says a word."""
        for adapter in self.adapters.values():
            for spoken in list(adapter.spoken):
                self._end(adapter, spoken)
            adapter.discovering.clear()
            adapter.monitors.clear()
        await self.bus.release_name("org.bluez")

    async def appear(self) -> None:
        await self.bus.request_name("org.bluez")

    async def unplug(self, name: str) -> None:
        adapter = self.adapters.pop(f"/org/bluez/{name}")
        for spoken in list(adapter.spoken):
            self._end(adapter, spoken)
        await self._signal("/", _OBJECTS, "InterfacesRemoved", "oas", adapter.path, ["org.bluez.Adapter1"])

    async def plug_in(self, name: str) -> None:
        adapter = self.adapter(name)
        interfaces = {"org.bluez.Adapter1": self._interfaces(adapter)["org.bluez.Adapter1"]}
        await self._signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", adapter.path, interfaces)

    async def power(self, name: str, *, on: bool) -> None:
        """Switch an adapter; without extended advertising, the kernel then speaks the old bytes again by itself."""
        adapter = self.adapter(name)
        if not on:
            adapter.heard_by_kernel = adapter.spoken[0].properties if self.legacy and adapter.spoken else None
            for spoken in list(adapter.spoken):
                if spoken.sender == "instance":
                    self._end(adapter, spoken)
                elif spoken.task:
                    spoken.task.cancel()
        adapter.powered = on
        if on and adapter.heard_by_kernel is not None:
            is_instance = adapter.heard_by_kernel["Type"].value == "instance"
            sender = "instance" if is_instance else "kernel"
            kernel = Spoken(sender, "", self._address(adapter), adapter.heard_by_kernel)
            self._begin(adapter, kernel)
        changed = {"Powered": Variant("b", on)}
        await self._signal(
            adapter.path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", "org.bluez.Adapter1", changed, []
        )

    async def make_discoverable(self, name: str, *, on: bool, told_by: str = "bluetoothd") -> None:
        """Let others connect: what is on the air goes on from the public address, and somebody says so."""
        adapter = self.adapter(name)
        adapter.discoverable = on
        for spoken in list(adapter.spoken):
            self._end(adapter, spoken)
            self._begin(adapter, Spoken(spoken.sender, spoken.path, self._address(adapter), spoken.properties))
        if told_by == "kernel":
            self.kernel.set_connectable(_number(adapter), on=on)
            return
        changed = {"Discoverable": Variant("b", on)}
        await self._signal(
            adapter.path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", "org.bluez.Adapter1", changed, []
        )

    async def sleep(self, *, going: bool) -> None:
        await self._signal("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", going)

    async def all_let_it_sleep(self) -> None:
        """Wait until nobody delays the machine's sleep any more."""
        for lock in self.sleep_locks:
            while True:  # a pipe has no event that this loop knows
                with suppress(BlockingIOError):
                    assert os.read(lock, 1) == b""
                    break
                await asyncio.sleep(0.001)

    def _delay_sleep(self, message: Message) -> Message:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.sleep_locks.append(ours)
        # The bus sends a copy of its own in the next turn of the loop.
        asyncio.get_running_loop().call_later(0.5, os.close, theirs)
        return Message.new_method_return(message, "h", [0], unix_fds=[theirs])

    async def release(self, name: str) -> None:
        """Take an adapter's advertisement off the air, and tell its owner."""
        (spoken,) = self.adapter(name).spoken
        self._end(self.adapter(name), spoken)
        call = Message(
            destination=spoken.sender, path=spoken.path, interface="org.bluez.LEAdvertisement1", member="Release"
        )
        await self.bus.call(call)

    async def replay(self, receiver: str, service_data: bytes, rssi_dbm: int | None) -> None:
        """Report a device that was heard some other time, as bluetoothd does from what it remembers."""
        await self._report(self.adapter(receiver), "0A:00:00:00:00:01", service_data, rssi_dbm, new=True)

    def handle(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new = message.body
            if not new:
                self._forget(name)
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.member == "Ping":
            return None
        member = message.member or ""
        self.calls.append(member)
        if self.wrong.get(member):
            answer = self.wrong[member].pop(0)
            if answer == SILENCE:
                return True
            if answer == NONSENSE:
                answer = "s", ["bananas"]
            if isinstance(answer, tuple):
                return Message.new_method_return(message, *answer)
            return Message.new_error(message, answer, "as the test wishes")
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        for adapter in self.adapters.values():
            for spoken in list(adapter.spoken):
                self._end(adapter, spoken)
        await asyncio.gather(*self._tasks)
        self.kernel.close()
        for lock in self.sleep_locks:
            os.close(lock)
        self.bus.disconnect()
        await self.bus.wait_for_disconnect()

    async def _answer(self, message: Message) -> None:
        if message.member == "Inhibit":
            await self.bus.send(self._delay_sleep(message))
            return
        adapter = self.adapters.get(message.path or "")
        error, signature, body = "", "", []
        if message.member == "GetManagedObjects":
            signature, body = "a{oa{sa{sv}}}", [{path: self._interfaces(a) for path, a in self.adapters.items()}]
        elif adapter is None:
            error = "org.freedesktop.DBus.Error.UnknownObject"
        else:
            error = await self._do(adapter, message.member or "", message.sender or "", message.body)
        if error:
            reply = Message.new_error(message, error, "refused")
        else:
            reply = Message.new_method_return(message, signature, body)
        await self.bus.send(reply)

    async def _do(self, adapter: Adapter, member: str, sender: str, body: list[Any]) -> str:
        """Do what is asked; return the error's name, or nothing."""
        if not adapter.powered and member != "UnregisterAdvertisement":
            return "org.bluez.Error.NotReady"
        if member == "RegisterAdvertisement":
            return await self._register(adapter, sender, body[0])
        if member == "UnregisterAdvertisement":
            found = [one for one in adapter.spoken if (one.sender, one.path) == (sender, body[0])]
            for one in found:
                self._end(adapter, one)
            return "" if found else "org.bluez.Error.DoesNotExist"
        if member.endswith("Monitor"):
            (adapter.monitors.add if member == "RegisterMonitor" else adapter.monitors.discard)(sender)
            return "" if self.experimental else "org.freedesktop.DBus.Error.UnknownMethod"
        return self._discover(adapter, member, sender, body)

    def _discover(self, adapter: Adapter, member: str, sender: str, body: list[Any]) -> str:
        runs = sender in adapter.discovering
        if member == "SetDiscoveryFilter":
            adapter.filters[sender] = {key: value.value for key, value in body[0].items()}
        elif member == "StartDiscovery" and not runs:
            adapter.discovering.add(sender)
            adapter.reported.clear()
        elif member == "StopDiscovery" and runs:
            adapter.discovering.discard(sender)
        else:
            return "org.bluez.Error.InProgress" if runs else "org.bluez.Error.Failed"
        return ""

    async def _register(self, adapter: Adapter, sender: str, path: str) -> str:
        if self.refuses_all:
            return "org.bluez.Error.Failed"
        if self.legacy and (adapter.discovering or adapter.monitors):
            # Set Random Address is refused while scanning, and what was on the air is gone.
            self.refused += 1
            for spoken in list(adapter.spoken):
                self._end(adapter, spoken)
            return "org.bluez.Error.Failed"
        if adapter.spoken and adapter.spoken[0].sender != "kernel":
            return "org.bluez.Error.NotPermitted"
        reply = await self.bus.call(
            Message(
                destination=sender,
                path=path,
                interface=_PROPERTIES,
                member="GetAll",
                signature="s",
                body=["org.bluez.LEAdvertisement1"],
            )
        )
        if reply.message_type is MessageType.ERROR:
            return "org.bluez.Error.Failed"
        for spoken in list(adapter.spoken):
            self._end(adapter, spoken)
        adapter.heard_by_kernel = None
        self._begin(adapter, Spoken(sender, path, self._address(adapter), reply.body[0]))
        return ""

    def _begin(self, adapter: Adapter, spoken: Spoken) -> None:
        adapter.spoken.append(spoken)
        (service_data,) = spoken.properties["ServiceData"].value.values()
        self.on_air.append((adapter.path, spoken.address, service_data.value, spoken.properties["Type"].value))
        spoken.task = asyncio.create_task(self._send(adapter, spoken, service_data.value))

    def _end(self, adapter: Adapter, spoken: Spoken) -> None:
        adapter.spoken.remove(spoken)
        if spoken.task:
            spoken.task.cancel()

    def _begin_instance(self, number: int, instance: Instance) -> None:
        adapter = self.adapter(f"hci{number}")
        service_data = Variant("a{sv}", {_UUID: Variant("ay", decode(instance.data).service_data)})
        interval = Variant("u", round(instance.interval_s * 1000))
        properties = {"ServiceData": service_data, "MinInterval": interval, "Type": Variant("s", "instance")}
        self._begin(adapter, Spoken("instance", "", self._address(adapter), properties))

    def _end_instance(self, number: int) -> bool:
        adapter = self.adapter(f"hci{number}")
        found = [one for one in adapter.spoken if one.sender == "instance"]
        for one in found:
            self._end(adapter, one)
        return bool(found)

    def _scan_by_kernel(self, number: int, on: bool) -> None:  # noqa: FBT001 - the kernel's own word
        monitors = self.adapter(f"hci{number}").monitors
        (monitors.add if on else monitors.discard)("kernel")

    def _forget(self, sender: str) -> None:
        for adapter in self.adapters.values():
            for spoken in [one for one in adapter.spoken if one.sender == sender]:
                self._end(adapter, spoken)
            adapter.discovering.discard(sender)
            adapter.monitors.discard(sender)

    async def _send(self, adapter: Adapter, spoken: Spoken, service_data: bytes) -> None:
        interval_s = spoken.properties["MinInterval"].value / 1000
        due_s = self.clock.monotonic()
        while True:
            for receiver in list(self.adapters.values()):
                if receiver is adapter or not receiver.powered:
                    continue
                self._tell(receiver, spoken.address, service_data)
                if self._is_reported(receiver, spoken.address):
                    await self._report(
                        receiver,
                        spoken.address,
                        service_data,
                        self.rssi_dbm,
                        new=spoken.address not in receiver.known,
                    )
            due_s += interval_s
            await self.clock.sleep_until(due_s)

    def _tell(self, receiver: Adapter, address: str, service_data: bytes) -> None:
        """Tell by the management socket, as measured: all of a passive scan, of an active one each neighbour once."""
        data = b"\x02\x01\x04\x03\x03\x6f\xfd\x17\x16\x6f\xfd" + service_data
        if receiver.monitors:
            event = DEVICE_FOUND if receiver.discovering else MONITOR_FOUND
        elif receiver.discovering and address not in receiver.reported:
            event = DEVICE_FOUND
        else:
            return
        rssi_dbm = self.rssi_dbm if self.strengths_dbm is None else next(self.strengths_dbm)
        self.kernel.tell(event, _number(receiver), heard(address, data, rssi_dbm))

    def _is_reported(self, receiver: Adapter, address: str) -> bool:
        """How often bluetoothd tells of a neighbour, as measured: every time only with both ways of scanning."""
        if not (receiver.discovering or receiver.monitors):
            return False
        filters = [receiver.filters.get(sender, {}) for sender in receiver.discovering]
        every = receiver.monitors and any(f.get("DuplicateData") and f.get("RSSI") == -127 for f in filters)
        first = address not in receiver.reported
        changed = bool(receiver.monitors) and abs(receiver.reported.get(address, 0) - self.rssi_dbm) >= 8
        return bool(every or first or changed)

    async def _report(
        self, receiver: Adapter, address: str, service_data: bytes, rssi_dbm: int | None, *, new: bool
    ) -> None:
        path = f"{receiver.path}/dev_{address.replace(':', '_')}"
        changed = {"ServiceData": Variant("a{sv}", {_UUID: Variant("ay", service_data)})}
        if rssi_dbm is not None:
            changed["RSSI"] = Variant("n", rssi_dbm)
            receiver.reported[address] = rssi_dbm
        if new:
            receiver.known.add(address)
            device = {
                "Adapter": Variant("o", receiver.path),
                "Address": Variant("s", address),
                "Alias": Variant("s", address.replace(":", "-")),
                "UUIDs": Variant("as", [_UUID]),
            }
            interfaces = {"org.bluez.Device1": device | changed}
            await self._signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", path, interfaces)
        else:
            await self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", "org.bluez.Device1", changed, [])

    def _address(self, adapter: Adapter) -> str:
        if adapter.discoverable:
            return PUBLIC
        if self.keeps_address:
            return "00:00:00:00:00:01"
        return ":".join(f"{byte:02X}" for byte in (self._random.getrandbits(46) | 1).to_bytes(6, "big"))

    def _interfaces(self, adapter: Adapter) -> dict[str, dict[str, Variant]]:
        manager = {
            "ActiveInstances": Variant("y", len(adapter.spoken)),
            "SupportedCapabilities": Variant("a{sv}", {"MinTxPower": Variant("n", -34), "MaxTxPower": Variant("n", 7)}),
        }
        if not self.legacy:
            manager["SupportedSecondaryChannels"] = Variant("as", ["1M", "2M"])
        interfaces = {
            "org.bluez.Adapter1": {
                "Powered": Variant("b", adapter.powered),
                "Discoverable": Variant("b", adapter.discoverable),
                "Roles": Variant("as", ["central"]),
            },
            "org.bluez.LEAdvertisingManager1": manager,
        }
        if self.experimental:
            interfaces["org.bluez.AdvertisementMonitorManager1"] = {}
        return interfaces

    async def _signal(self, path: str, interface: str, member: str, signature: str, *body: object) -> None:
        await self.bus.send(Message.new_signal(path, interface, member, signature, list(body)))


def _number(adapter: Adapter) -> int:
    return int(adapter.path.rpartition("hci")[2])


@asynccontextmanager
async def fake_bluez(address: str, clock: Clock, **settings: Any) -> AsyncIterator[FakeBluez]:
    """Run a fake on the bus at `address`, which is the system's for as long."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        fake = FakeBluez(bus, clock, **settings)
        bus.add_message_handler(fake.handle)
        await bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=["type='signal',member='NameOwnerChanged'"],
            )
        )
        await bus.request_name("org.freedesktop.login1")
        await fake.appear()
        try:
            yield fake
        finally:
            bleak = bleak_manager._global_instances.pop(asyncio.get_running_loop(), None)
            if bleak is not None and bleak._bus is not None and bleak._bus_watcher_task is not None:
                bleak._bus.disconnect()
                await bleak._bus_watcher_task
            await fake.close()
