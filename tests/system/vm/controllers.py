"""In the virtual machine: Bluetooth controllers on /dev/vhci, as a kernel meets real ones, and the log of their air.

One line to standard output for whatever a controller sends, for each scan that it begins or ends, and for each command
that it refuses: `air_log` reads them.
"""

import asyncio
import os
import random
import sys
import time
from contextlib import suppress
from typing import Any

from bumble import hci
from bumble.controller import Controller
from bumble.transport import open_transport

from tests.contracts.virtual_controllers import LegacyVirtualController, VirtualAir, VirtualController

NAMES = ("hci0", "hci1")
STRENGTHS_DBM = (-68, -60)
"""About half a metre in the open, for devices that say -20 dBm."""


class LoggedAir(VirtualAir):
    def send_advertising_pdu(self, sender: Controller, pdu: Any) -> None:
        super().send_advertising_pdu(sender, pdu)
        sent = self.log.pop()
        kind = "speaks-connectably" if sent.connectable else "speaks"
        tell(sender.name, kind, sent.address.hex(), sent.data.hex())


class Logged:
    """What a controller is told, and whether it obeys."""

    def on_hci_command_packet(self, command: hci.HCI_Command) -> None:
        scanned = self.le_scan_enable
        if self._must_refuse(command):
            tell(self.name, "refuses", command.name)
        super().on_hci_command_packet(command)
        if bool(self.le_scan_enable) != bool(scanned):
            tell(self.name, "scans" if self.le_scan_enable else "rests")


class LoggedController(Logged, VirtualController):
    pass


class LoggedLegacyController(Logged, LegacyVirtualController):
    pass


class Host:
    """The kernel, as a controller writes to it: it refuses packets while nobody has the adapter, and they are lost."""

    def __init__(self, device: int) -> None:
        self._device = device

    def on_packet(self, packet: bytes) -> None:
        with suppress(OSError):
            os.write(self._device, packet)


def tell(*words: str) -> None:
    sys.stdout.write(f"{time.monotonic():.6f} {' '.join(words)}\n")
    sys.stdout.flush()


async def main() -> None:
    kind = {"extended": LoggedController, "legacy": LoggedLegacyController}[os.environ["CONTROLLERS"]]
    air = LoggedAir(lambda _sender, _receiver: random.randint(*STRENGTHS_DBM))
    plugged = []
    for name in NAMES:  # the kernel counts them in this order
        wire = await open_transport("vhci")
        controller = kind(name, air, random.Random())
        wire.source.set_packet_sink(controller)
        controller.host = Host(wire.sink.transport.get_extra_info("pipe").fileno())
        plugged.append(wire)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
