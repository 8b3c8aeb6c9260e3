"""Tier 4: two real daemons on a real kernel, and a real bluetoothd, in one virtual machine.

They meet, one is killed and started again, one reports, the other is warned by the real server. Only the Bluetooth
controllers are virtual, and their log says what was on the air.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forewarn_server.accounts import api_keys
from forewarn_server.accounts.api_keys import Role
from forewarn_server.context import Context, in_context
from tests.conftest import lacking
from tests.contracts.air_log import (
    AirLog,
    Sent,
    Window,
    arrived,
    faults,
    gaps_s,
    intervals_s,
    links,
    lives,
    silences_s,
)
from tests.system.vm.kernel import Kernel, NoKernel, kernel
from tests.system.vm.machine import missing_parts, run_machine

ROTATIONS = 5
ADAPTERS = {"a": "hci0", "b": "hci1"}
BLUETOOTHD_OPTIONS = {"extended": "--experimental", "legacy": ""}
"""As an installed one that was set up to hear passively, and as a stock one."""
HEARD_AT_LEAST = 0.95
PACKAGES = "install qemu-system-x86 seabios ipxe-qemu busybox-static kmod cpio dbus bluez"


@pytest.fixture(scope="session")
def vm_kernel() -> Kernel:
    if missing := missing_parts():
        lacking("vm", f"a virtual machine needs {', '.join(missing)}: {PACKAGES}")
    try:
        return kernel()
    except NoKernel as error:
        lacking("vm", f"a virtual machine needs a kernel ({error}): {PACKAGES}")
        raise


class Told:
    """What the machine left behind: what happened in it, what was on the air, what was heard."""

    def __init__(self, results: Path) -> None:
        story: dict[str, Any] = json.loads((results / "story.json").read_text())
        self.story = story
        self.air = AirLog.read((results / "air.log").read_text())
        self.births_s = {name: [float(at_s) for at_s in births] for name, births in story["births_s"].items()}
        self.daily = [sent for sent in self.air.sent if sent.at_s < story["ended_s"]]
        self.control = [sent for sent in self.air.sent if sent.at_s >= story["control_from_s"]]
        self._results = results

    def heard(self) -> tuple[int, int]:
        """Return how many advertisements came to the daemons of those that were sent while they scanned."""
        came = sent = 0
        for name, adapter in ADAPTERS.items():
            for line in (self._results / f"windows-{name}.jsonl").read_text().splitlines():
                window = Window(**json.loads(line))
                offered = self.air.offered(adapter, window)
                came, sent = came + arrived(offered, window), sent + len(offered)
        return came, sent

    def after_power_on(self) -> str:
        """Say what the kernel spoke by itself when the power came back, of what had been on the air before."""
        on_s = self.story["on_again_s"]
        old = next(sent.identifier for sent in self.air.sent if sent.at_s >= self.story["ended_s"])
        again = [sent.at_s for sent in self.air.sent if sent.identifier == old and sent.at_s > on_s]
        lasted_ms = 1000 * (again[-1] - again[0]) if again else 0
        return f"after power-on the old identifier was sent {len(again)} times, within {lasted_ms:.0f} ms"

    def figures(self) -> str:
        """Say what there was to judge."""

        def of_all(measure: Callable[[list[Sent]], list[float]]) -> list[float]:
            by_sender = lives(self.daily, self.births_s)
            return [value for found in by_sender.values() for life in found for value in measure(life)]

        gaps, intervals, silences = of_all(gaps_s), of_all(intervals_s), of_all(silences_s)
        came, sent = self.heard()
        return (
            f"{len(gaps)} rotations, {min(gaps):.1f}-{max(gaps):.1f} s apart; {len(self.daily)} advertisements, every"
            f" {1000 * min(intervals):.0f}-{1000 * max(intervals):.0f} ms; {1000 * min(silences):.0f}-"
            f"{1000 * max(silences):.0f} ms of silence at a change; {came} of {sent} heard in scan windows"
            f" ({came / sent:.1%}); warned {self.story['warned_after_s'] / 3600:.1f} h after the report"
        )


@pytest.fixture
def happen(fresh_server_data: Path, tmp_path: Path, vm_kernel: Kernel, machine_for_itself: None) -> Callable[..., Told]:
    """Let the story happen in a machine; what its console showed is told if it does not come to its end."""
    del machine_for_itself
    return partial(_happen, fresh_server_data, tmp_path, vm_kernel)


def _happen(fresh_server_data: Path, folder: Path, vm_kernel: Kernel, **machine: str) -> Told:
    data = shutil.copytree(fresh_server_data, folder / "server")

    async def make(context: Context) -> tuple[str, str]:
        _, api_key = await api_keys.add(context, "clinic", Role.ISSUER)
        return context.keys.feed.active.public_base64, api_key

    feed_key, api_key = in_context(data, make)
    results = folder / "results"
    results.mkdir()
    console = run_machine(vm_kernel, results, SERVER_DATA=data, FEED_KEY=feed_key, API_KEY=api_key, **machine)
    assert (results / "story.json").exists(), console
    return Told(results)


@pytest.mark.vm
@pytest.mark.slow
@pytest.mark.parametrize("controllers", ["extended", "legacy"])
@pytest.mark.parametrize("radio", ["bluez", "hci"])
def test_two_tracers_meet_one_reports_the_other_is_warned_and_nobody_can_follow_them(
    happen: Callable[..., Told], radio: str, controllers: str, figure: Callable[[str], None]
) -> None:
    told = happen(RADIO=radio, CONTROLLERS=controllers, BLUETOOTHD_OPTIONS=BLUETOOTHD_OPTIONS[controllers])
    figure(f"{radio}, {controllers} controllers, on a real kernel: {told.figures()}")
    if radio == "bluez":
        figure(f"{radio}, {controllers} controllers, on a real kernel: {told.after_power_on()}")
    assert told.story["reported"] == "sent"
    assert told.story["check"] == {"a": 0, "b": 4}
    # On a legacy controller the kernel decides on the interval: docs/limits.md.
    drawn = (radio, controllers) != ("bluez", "legacy")
    assert faults(told.daily, told.births_s, rotations=ROTATIONS, drawn_intervals=drawn) == []
    assert told.air.refused == []
    # Positive control: the same radio made to keep its address or, where that is the kernel's, its identifier.
    assert len(links(told.control)) == 1
