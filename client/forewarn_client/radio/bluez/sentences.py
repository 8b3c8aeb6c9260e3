"""What a person is told when BlueZ fails: what happened, whose fault it is, what to do."""

from typing import Final

NO_BUS: Final = "the system's D-Bus does not answer: start dbus, then start the daemon again"
NO_SERVICE: Final = 'bluetoothd does not run: run "systemctl start bluetooth"'
NONSENSE: Final = 'what answers as bluetoothd makes no sense: run "systemctl restart bluetooth", or update BlueZ'
SILENT: Final = 'bluetoothd does not answer: run "systemctl restart bluetooth"'
SWITCHED_OFF: Final = 'Bluetooth is switched off: run "rfkill unblock bluetooth" and "bluetoothctl power on"'
ASLEEP: Final = "the machine goes to sleep: nothing to do"
RELEASED: Final = "bluetoothd took the advertisement off the air: nothing to do, a new one follows"
CONNECTABLE: Final = (
    "another program lets strangers connect to this adapter, and it would speak from its lasting address: run"
    ' "bluetoothctl discoverable off"'
)
KERNEL_REFUSES: Final = "bluetoothd and the kernel both refuse to advertise: end what else scans, or update the kernel"
KERNEL_HOLDS_ON: Final = 'the kernel does not end an advertisement: run "bluetoothctl power off", then "power on"'
KERNEL_SILENT: Final = "the kernel's Bluetooth does not answer: unplug the adapter and plug it in again, or restart"
BUSY: Final = "another program holds the radio: end what else scans or advertises over Bluetooth"
REFUSED: Final = (
    "bluetoothd refuses to advertise: end what else scans over Bluetooth; kernels 6.12.93 and 6.18.34 of Raspberry Pi"
    " OS need bluetoothd 5.87 or newer, or the capability CAP_NET_ADMIN for the daemon"
)

NO_PLACE: Final = "org.bluez.Error.NotPermitted"
REFUSING: Final = "org.bluez.Error.Failed"
"""What bluetoothd answers where the kernel refuses it."""

_SENTENCES: Final = {
    "org.bluez.Error.InProgress": BUSY,
    "org.bluez.Error.AlreadyExists": BUSY,
    REFUSING: REFUSED,
    "org.bluez.Error.NotReady": SWITCHED_OFF,
    NO_PLACE: "bluetoothd has no place for an advertisement: end what else advertises",
    "org.bluez.Error.NotSupported": "this Bluetooth adapter cannot do Low Energy: use another one (setting adapter)",
    "org.bluez.Error.InvalidArguments": "bluetoothd refuses this advertisement as malformed: update BlueZ",
    "org.freedesktop.DBus.Error.AccessDenied": "bluetoothd may not be asked: add this user to the group bluetooth",
    "org.freedesktop.DBus.Error.ServiceUnknown": NO_SERVICE,
    "org.freedesktop.DBus.Error.NameHasNoOwner": NO_SERVICE,
    "org.freedesktop.DBus.Error.NoReply": NO_SERVICE,
    "org.freedesktop.DBus.Error.UnknownMethod": NONSENSE,
    "org.freedesktop.DBus.Error.UnknownObject": NONSENSE,
}
WORTH_A_RETRY: Final = frozenset({"org.bluez.Error.InProgress", REFUSING})
"""What another scanner causes for a moment."""

NOTHING_THERE: Final = frozenset(
    {
        "org.bluez.Error.DoesNotExist",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.UnknownMethod",
        "org.freedesktop.DBus.Error.UnknownObject",
    }
)
"""What is answered where bluetoothd or the adapter has gone since, and our advertisement with it."""


def sentence(error_name: str) -> str:
    """Return what to tell a person about an error of D-Bus."""
    return _SENTENCES.get(error_name, NONSENSE)


def no_adapter(adapter: str) -> str:
    """Return what to tell about an adapter that bluetoothd does not know."""
    return f"there is no Bluetooth adapter {adapter}: plug it in, or name another one (setting adapter)"
