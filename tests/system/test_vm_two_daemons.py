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
from tests.system.vm.control import TURNS
from tests.system.vm.kernel import Kernel, NoKernel, kernel
from tests.system.vm.machine import missing_parts, run_machine

ROTATIONS = 5
ADAPTERS = {"a": "hci0", "b": "hci1"}
HEARD_AT_LEAST = 0.95
ROTATED_WRONGLY = {
    "bluez": "one identifier was spoken under two addresses",
    "hci": "one address spoke two identifiers",
}
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

    def heard(self, **receivers: str) -> str:
        """Say how many advertisements came to receivers (notes by adapter) of those sent while they scanned."""
        came, sent, windows = self.count(**receivers)
        share = f" ({came / sent:.1%})" if sent else ""
        return f"{came} of {sent}{share} in {windows} windows"

    def count(self, **receivers: str) -> tuple[int, int, int]:
        """Return how many came, how many were sent, and in how many windows."""
        came = sent = windows = 0
        for name, adapter in receivers.items():
            for line in (self._results / f"windows-{name}.jsonl").read_text().splitlines():
                window = Window(**json.loads(line))
                offered = self.air.offered(adapter, window)
                came, sent, windows = came + arrived(offered, window), sent + len(offered), windows + 1
        return came, sent, windows

    def left_behind(self) -> str:
        """Say what was still spoken of a daemon that had been killed, and after a power-on by the kernel alone."""
        killed_s = self.story["killed_s"]
        before = [sent.identifier for sent in self.air.sent if sent.sender == "hci1" and sent.at_s < killed_s]
        text = f"of a killed daemon {self._again(before[-1], killed_s)}"
        if "on_again_s" in self.story:
            before = [sent.identifier for sent in self.air.sent if sent.at_s >= self.story["ended_s"]]
            text += f", after power-on {self._again(before[0], self.story['on_again_s'])}"
        return text

    def _again(self, identifier: bytes, from_s: float) -> str:
        times_s = [sent.at_s for sent in self.air.sent if sent.identifier == identifier and sent.at_s > from_s]
        lasted_ms = 1000 * (times_s[-1] - from_s) if times_s else 0
        return f"the identifier was sent {len(times_s)} times more, within {lasted_ms:.0f} ms"

    def figures(self) -> str:
        """Say what there was to judge."""

        def of_all(measure: Callable[[list[Sent]], list[float]]) -> list[float]:
            by_sender = lives(self.daily, self.births_s)
            return [value for found in by_sender.values() for life in found for value in measure(life)]

        gaps, intervals, silences = of_all(gaps_s), of_all(intervals_s), of_all(silences_s)
        return (
            f"{len(gaps)} rotations, {min(gaps):.1f}-{max(gaps):.1f} s apart; {len(self.daily)} advertisements, every"
            f" {1000 * min(intervals):.0f}-{1000 * max(intervals):.0f} ms; {1000 * min(silences):.0f}-"
            f"{1000 * max(silences):.0f} ms of silence at a change; heard in scan windows {self.heard(**ADAPTERS)};"
            f" warned {self.story['warned_after_s'] / 3600:.1f} h after the report"
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
    told = happen(RADIO=radio, CONTROLLERS=controllers)
    figure(f"{radio}, {controllers} controllers, on a real kernel: {told.figures()}")
    figure(f"the same: {told.left_behind()}")
    if radio == "bluez":
        untapped, stock, tapped = (told.heard(**{name: "hci1"}) for name in ("untapped", "stock", "tapped"))
        figure(f"the same without the tap, windows of 4 s: {untapped}; beside a stock bluetoothd: {stock}")
        figure(f"the same with the tap beside a stock bluetoothd: {tapped}")
    assert told.story["reported"] == "sent"
    assert told.story["check"] == {"a": 0, "b": 4}
    # On a legacy controller the kernel decides on the interval: docs/limits.md.
    drawn = (radio, controllers) != ("bluez", "legacy")
    assert faults(told.daily, told.births_s, rotations=ROTATIONS, drawn_intervals=drawn) == []
    came, sent, _ = told.count(**ADAPTERS)
    assert came >= HEARD_AT_LEAST * sent
    assert told.air.refused == []
    if radio == "bluez":
        judge_the_kernel_beside_bluetoothd(told, controllers)
    # Positive control: the same radio made to keep its address or, where that is the kernel's, its identifier.
    assert links(told.control) == [ROTATED_WRONGLY[radio]]


def judge_the_kernel_beside_bluetoothd(told: Told, controllers: str) -> None:
    """Hold the tap and the kernel's own advertisements to what was on the air."""
    came, sent, _ = told.count(tapped="hci1")
    assert came >= HEARD_AT_LEAST * sent
    if controllers == "legacy":  # with extended advertising a stock bluetoothd sends so seldom that nothing can be told
        came, sent, _ = told.count(stock="hci1")
        assert came < sent / 2, "positive control: without the tap, the same windows beside the same bluetoothd"
    begins_s, ends_s = told.story["refused_from_s"], told.story["control_from_s"]
    by_the_kernel = [sent for sent in told.air.sent if begins_s <= sent.at_s < ends_s]
    assert len({sent.identifier for sent in by_the_kernel}) == TURNS
    assert links(by_the_kernel) == []
    assert {(len(sent.data), sent.data[:3], sent.address[0] >> 6) for sent in by_the_kernel} == {(31, b"\2\1\x1a", 0)}
    assert not any(sent.connectable for sent in by_the_kernel)
