"""Bluetooth through BlueZ: bleak hears, an advertisement of our own on D-Bus speaks. Needs the extra `bluez`."""

from forewarn_client.radio.bluez.radio import BluezRadio

__all__ = ["BluezRadio"]
