"""Bluetooth through BlueZ: bleak hears, an advertisement of our own on D-Bus speaks. Needs the extra `bluez`."""

import logging

from forewarn_client.radio.bluez.radio import BluezRadio

__all__ = ["BluezRadio"]

# Below this level bleak writes every signal of bluetoothd, with addresses and identifiers. What matters is raised.
for _name in ("bleak", "dbus_fast"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
