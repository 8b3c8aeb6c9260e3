"""What is spoken, as an object on D-Bus that bluetoothd reads when it is registered."""

from collections.abc import Callable
from typing import Annotated, Final

from dbus_fast import PropertyAccess, Variant
from dbus_fast.annotations import DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from forewarn_protocol.advertisement import Payload

ADVERTISEMENT: Final = "org.bluez.LEAdvertisement1"


def uuid_128(service_uuid: int) -> str:
    """Return a 16-bit UUID in the form that BlueZ and bleak use (Core Specification 5.3, vol 3 part B 2.5.1)."""
    return f"0000{service_uuid:04x}-0000-1000-8000-00805f9b34fb"


class Advertisement(ServiceInterface):
    """One payload; `on_release` is called when bluetoothd takes it off the air by itself."""

    def __init__(self, payload: Payload, service_uuid: int, interval_s: float, on_release: Callable[[], None]) -> None:
        super().__init__(ADVERTISEMENT)
        self._payload = payload
        self._uuid = uuid_128(service_uuid)
        self._interval_ms = round(interval_s * 1000)
        self._on_release = on_release

    @dbus_method(name="Release")
    def release(self) -> None:
        """Take note that it is no longer on the air."""
        self._on_release()

    @dbus_property(PropertyAccess.READ, name="Type")
    def kind(self) -> DBusStr:
        """Non-connectable: any other kind is sent from the adapter's own public address."""
        return "broadcast"

    @dbus_property(PropertyAccess.READ, name="ServiceUUIDs")
    def service_uuids(self) -> Annotated[list[str], DBusSignature("as")]:
        """The list of UUIDs in the advertisement."""
        return [self._uuid]

    # Nothing else is included: with the transmit power it would no longer fit into 31 bytes.
    @dbus_property(PropertyAccess.READ, name="ServiceData")
    def service_data(self) -> Annotated[dict[str, Variant], DBusSignature("a{sv}")]:
        """Identifier and metadata."""
        return {self._uuid: Variant("ay", self._payload.service_data)}

    # Ignored before BlueZ 5.77 without --experimental, and by the kernel on controllers without extended advertising.
    @dbus_property(PropertyAccess.READ, name="MinInterval")
    def minimum_interval(self) -> DBusUInt32:
        """Milliseconds."""
        return self._interval_ms

    @dbus_property(PropertyAccess.READ, name="MaxInterval")
    def maximum_interval(self) -> DBusUInt32:
        """Milliseconds."""
        return self._interval_ms
