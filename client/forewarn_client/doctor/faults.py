"""Known faults of kernels and of bluetoothd, and of which versions, as a table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from forewarn_client.doctor.checks import Check, Level
from forewarn_client.doctor.machine import Machine, Version, in_words
from forewarn_client.timing import Span

_REFUSING_KERNELS: Final[frozenset[Version]] = frozenset({(6, 12, 93), (6, 18, 34)})
_REFUSING_BELOW: Final[Version] = (5, 87)
_KEEPING_INTERVALS_FROM: Final[Version] = (5, 77)
_FIXED_INTERVAL_KERNEL: Final[Version] = (6, 1)
FIXED_INTERVAL_S: Final[Span] = (0.1, 0.15)
"""What that kernel has a controller without extended advertising do, whatever was asked for."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What decides whether a fault is here: the machine, and what its adapter and bluetoothd offer."""

    machine: Machine
    extended_advertising: bool
    experimental: bool

    @property
    def has_fixed_interval(self) -> bool:
        """Whether advertisements leave every 100 to 150 ms, whatever is asked for."""
        kernel = self.machine.kernel
        return not self.extended_advertising and kernel is not None and kernel[:2] == _FIXED_INTERVAL_KERNEL


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault: where it is, how bad, what to say."""

    name: str
    level: Level
    is_here: Callable[[Stack], bool]
    sentence: str


def _is_refusing_kernel(machine: Machine) -> bool:
    return machine.is_raspberry_pi_os and (machine.kernel or ())[:3] in _REFUSING_KERNELS


def _refuses(stack: Stack) -> bool:
    version = stack.machine.bluetoothd
    return _is_refusing_kernel(stack.machine) and version is not None and version < _REFUSING_BELOW


def _refuses_for_good(stack: Stack) -> bool:
    return _refuses(stack) and not stack.machine.may_administer_network


def _may_refuse(stack: Stack) -> bool:
    machine = stack.machine
    return _is_refusing_kernel(machine) and machine.bluetoothd is None and not machine.may_administer_network


def _ignores_intervals(stack: Stack) -> bool:
    version = stack.machine.bluetoothd
    return not stack.experimental and version is not None and version < _KEEPING_INTERVALS_FROM


KNOWN_FAULTS: Final = (
    Fault(
        "kernel",
        Level.FAILURE,
        _refuses_for_good,
        "with bluetoothd before 5.87 it refuses every advertisement: update BlueZ or the kernel, or give the daemon's "
        "unit AmbientCapabilities=CAP_NET_ADMIN, to ask the kernel itself",
    ),
    Fault(
        "kernel",
        Level.WARNING,
        _refuses,
        "with bluetoothd before 5.87 it refuses every advertisement; the kernel is asked itself, for CAP_NET_ADMIN is "
        "there: update BlueZ all the same, for nobody ends what a daemon that was killed has left on the air",
    ),
    Fault(
        "kernel",
        Level.WARNING,
        _may_refuse,
        "with bluetoothd before 5.87 it refuses every advertisement: make sure that BlueZ is newer",
    ),
    Fault(
        "kernel",
        Level.WARNING,
        lambda stack: stack.has_fixed_interval,
        "on this adapter it advertises every 100 to 150 ms, whatever is asked for: more current is drawn, and the "
        "interval does not change with the identifier; a newer kernel or an adapter with extended advertising obeys",
    ),
    Fault(
        "bluetoothd",
        Level.WARNING,
        _ignores_intervals,
        "before 5.77 it ignores the interval that is asked for: update BlueZ, or start bluetoothd with --experimental",
    ),
)


def judge_versions(stack: Stack) -> list[Check]:
    """Judge the kernel and bluetoothd, the worst of what is known of each."""
    machine = stack.machine
    shown = {"kernel": machine.kernel_release, "bluetoothd": in_words(machine.bluetoothd)}
    checks = []
    for name, version in shown.items():
        here = next((fault for fault in KNOWN_FAULTS if fault.name == name and fault.is_here(stack)), None)
        if here is not None:
            checks.append(Check(name, here.level, f"{version}: {here.sentence}"))
        elif (machine.kernel if name == "kernel" else machine.bluetoothd) is None:
            checks.append(
                Check.warning(name, f"its version is unknown ({version}): known faults can't be ruled out, keep it new")
            )
        else:
            checks.append(Check.ok(name, f"{version}, without a known fault that matters here"))
    return checks
