"""The whole look at a device: each area in turn, beside a running daemon or without one, changing nothing."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.device import DATABASE_FILE, MOVED_FILE, Device
from forewarn_client.doctor.calibration import judge_calibration
from forewarn_client.doctor.checks import Check, Findings
from forewarn_client.doctor.energy import judge_on_time
from forewarn_client.doctor.faults import FIXED_INTERVAL_S, Stack
from forewarn_client.doctor.machine import Machine, look_at_machine
from forewarn_client.doctor.storage import Storage, judge_storage
from forewarn_client.doctor.upstream import examine_upstream
from forewarn_client.presence import is_running
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.timing import Timing
from forewarn_protocol.errors import ForewarnError
from forewarn_shell.clock import Clock

_MATCHING: Final = Check.ok("matching", "in Python; there is no native kernel, and none is needed on one device")
_SOCKET: Final = "hci-socket:"


def examine(settings: ClientSettings, clock: Clock, machine: Machine | None = None) -> Findings:
    """Look at everything; the machine's facts are gathered unless given."""
    return asyncio.run(look_over(settings, clock, machine or look_at_machine()))


async def look_over(settings: ClientSettings, clock: Clock, machine: Machine) -> Findings:
    """Do the same inside an event loop, with the machine's facts."""
    timing = Timing.production()
    radio, stack = await _radio(settings, clock, timing, machine)
    fixed = stack is not None and stack.has_fixed_interval
    return Findings(
        [
            _daemon(settings.data),
            *radio,
            judge_on_time(timing, FIXED_INTERVAL_S if fixed else timing.advertise_interval_s),
            judge_calibration(settings),
            *judge_storage(Storage.of(settings.data)),
            *await _with_device(settings, clock),
            _MATCHING,
        ]
    )


def _daemon(data: Path) -> Check:
    try:
        running = data.is_dir() and is_running(data)
    except ForewarnError as error:
        return Check.refused("daemon", error)
    return Check.ok("daemon", "running") if running else Check.warning("daemon", "not running: start it with 'run'")


async def _radio(
    settings: ClientSettings, clock: Clock, timing: Timing, machine: Machine
) -> tuple[list[Check], Stack | None]:
    if settings.radio == "loopback":
        hint = 'set radio = "bluez" in settings.toml to meet others'
        return [Check.warning("radio", f"loopback is air inside one process, nobody is heard: {hint}")], None
    try:
        choose_radio(settings, clock, timing)
    except ForewarnError as error:
        return [Check.refused("radio", error)], None
    if settings.radio == "hci":
        return [_controller(settings.hci_transport, machine)], None
    from forewarn_client.doctor.bluetooth import examine_bluez  # noqa: PLC0415 - needs the extra of that radio

    return await examine_bluez(settings.adapter, machine)


def _controller(transport: str, machine: Machine) -> Check:
    """Judge what can be seen of a controller from outside: to open it would take it from a running daemon."""
    if not transport.startswith(_SOCKET):
        return Check.ok(
            "adapter", f"{transport.partition(':')[0]}: not opened; 'status' says whether the daemon has it"
        )
    adapter = f"hci{int(transport.removeprefix(_SOCKET))}"
    if adapter not in machine.adapters:
        return Check.failure(
            "adapter",
            f"there is no Bluetooth adapter {adapter}: plug it in, or name another one (setting hci_transport)",
            missing=True,
        )
    if not machine.may_administer_network:
        return Check.warning(
            "adapter",
            f"{adapter} is there, but this user lacks CAP_NET_ADMIN, without which no daemon can take it: give its "
            "unit AmbientCapabilities=CAP_NET_ADMIN",
        )
    return Check.ok("adapter", f"{adapter} is there; not opened: 'status' says whether the daemon has it")


async def _with_device(settings: ClientSettings, clock: Clock) -> list[Check]:
    try:
        async with _opened(settings, clock) as device:
            return await examine_upstream(device)
    except ForewarnError as error:
        return [Check.refused("contents", error)]


@asynccontextmanager
async def _opened(settings: ClientSettings, clock: Clock) -> AsyncIterator[Device]:
    """Open the device; where no daemon ever ran, an empty one elsewhere, so that looking makes no diary."""
    if any((settings.data / name).exists() for name in (DATABASE_FILE, MOVED_FILE)):
        async with Device.open(settings, clock) as device:
            yield device
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-") as elsewhere:
        async with Device.open(settings.model_copy(update={"data": Path(elsewhere)}), clock) as device:
            yield device
