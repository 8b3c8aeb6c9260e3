"""In the virtual machine, the radio alone: with and without its tap, switched off and on, refused, rotated wrongly.

The last is the positive control of the air log: the same check must object to it.
"""

import asyncio
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from dbus_fast import Variant

from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.radio.bluez.bluetoothd import ADAPTER, Bluetoothd, CallFailed
from forewarn_client.radio.bluez.management import open_control
from forewarn_client.radio.bluez.sentences import REFUSING
from forewarn_client.radio.hci_link import open_named
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import SystemClock
from tests.contracts.hci_worlds import BrokenHci
from tests.system.vm.watched_radio import WatchedRadio

BLUETOOTHD = "/usr/libexec/bluetooth/bluetoothd"
PATIENCE_S = 60
TURNS = 3
TURN_S = 1.0


def wait_for_adapters(radio: str) -> None:
    """Return when bluetoothd has both adapters switched on, or the kernel has set them up and let go of them."""
    asyncio.run(_adapters(radio))


async def _adapters(radio: str) -> None:
    clock, timing = SystemClock(), Timing.production()
    for number in (0, 1):
        name = f"hci{number}"
        tried = (
            BluezRadio(name, clock, timing)
            if radio == "bluez"
            else BrokenHci(partial(open_named, f"hci-socket:{number}"), clock, timing)
        )
        for attempt in range(PATIENCE_S * 4):
            try:
                await tried.start()
            except Missing:
                if attempt == PATIENCE_S * 4 - 1:
                    raise
                await asyncio.sleep(0.25)
            else:
                break
        await tried.close()


async def switch_off_and_on() -> float:
    """Switch an adapter of bluetoothd off and on while it speaks; return when it was on again (monotonic)."""
    clock = SystemClock()
    speaker = BluezRadio("hci0", clock, Timing.production())
    await speaker.start()
    await speaker.advertise(Payload.from_service_data(bytes([255]) * 20))
    await asyncio.sleep(TURN_S)
    switch = Bluetoothd("hci0", PATIENCE_S, lambda _: None)
    await switch.connect()
    for on in (False, True):
        powered = (ADAPTER, "Powered", Variant("b", on))
        switched_s = time.monotonic()
        await switch.call(switch.path, "org.freedesktop.DBus.Properties", "Set", "ssv", *powered)
        await asyncio.sleep(TURN_S)
    await switch.leave()
    await speaker.close()
    return switched_s


class RefusedByBluetoothd(BluezRadio):
    """As on the kernels that refuse whatever a bluetoothd asks."""

    async def _announce(self, payload: Payload, interval_s: float) -> None:
        del payload, interval_s
        raise CallFailed(REFUSING)


async def speak_though_refused() -> None:
    """Let the kernel itself advertise, and rotate; nothing is on the air afterwards."""
    speaker = RefusedByBluetoothd("hci0", SystemClock(), Timing.production())
    await speaker.start()
    for turn in range(TURNS):
        await speaker.advertise(Payload.from_service_data(bytes([200 + turn]) * 20))
        await asyncio.sleep(TURN_S)
    await speaker.close()


async def hear(notes: Path, *, tapped: bool) -> None:
    """Scan as a process with CAP_NET_ADMIN does, or as one without it, and note what was heard."""
    clock, timing = SystemClock(), Timing.production()
    speaker = BluezRadio("hci0", clock, timing)
    hearer = WatchedRadio(BluezRadio("hci1", clock, timing, open_management=open_control if tapped else _refuse), notes)
    await speaker.start()
    await hearer.start()
    for turn in range(TURNS):
        await speaker.advertise(Payload.from_service_data(bytes([100 + turn]) * 20))
        async for _ in hearer.scan(timing.scan_window_s):
            pass
    await speaker.close()
    await hearer.close()


def begin_bluetoothd_anew() -> None:
    """Let a bluetoothd without options take the place of the one that runs."""
    subprocess.run(["/bin/busybox", "killall", "bluetoothd"], check=True)
    for _ in range(100):
        if subprocess.run(["/bin/busybox", "pidof", "bluetoothd"], check=False, stdout=subprocess.DEVNULL).returncode:
            break
        time.sleep(0.1)
    subprocess.Popen([BLUETOOTHD, "--nodetach"])  # noqa: S603 - ends with the machine
    wait_for_adapters("bluez")


def _refuse() -> socket.socket:
    raise PermissionError


async def rotate_wrongly(radio: str) -> None:
    """Change one of identifier and address without the other: which one the radio lets us keep."""
    clock, timing = SystemClock(), Timing.production()
    if radio == "bluez":
        speaker = BluezRadio("hci0", clock, timing)
        payloads = [Payload.from_service_data(bytes(20))] * TURNS
    else:
        speaker = BrokenHci(partial(open_named, "hci-socket:0"), clock, timing)
        payloads = [Payload.from_service_data(bytes([turn]) * 20) for turn in range(TURNS)]
    await speaker.start()
    for payload in payloads:
        await speaker.advertise(payload)
        await asyncio.sleep(TURN_S)
    await speaker.close()
