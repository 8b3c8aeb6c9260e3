"""What this machine says of itself: the kernel's version, bluetoothd's, and what this process may do."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CAP_NET_ADMIN: Final = 12
"""The capability's bit (capability.h): management-socket events, and taking an adapter for oneself."""

_BLUETOOTHD: Final = (
    Path("/usr/libexec/bluetooth/bluetoothd"),
    Path("/usr/lib/bluetooth/bluetoothd"),
    Path("/usr/sbin/bluetoothd"),
)
_ANSWERS_WITHIN_S: Final = 5.0
_ADAPTERS: Final = Path("/sys/class/bluetooth")
_OWN_STATE: Final = Path("/proc/self/status")
_NUMBERS: Final = re.compile(r"\d+(?:\.\d+){1,3}")
_RASPBERRY_PI: Final = re.compile(r"rpi|rpt|-v[678]")
"""In the releases of Raspberry Pi OS: 6.12.93+rpt-rpi-v8 from its archive, 6.12.93-v8+ from rpi-update."""

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about this machine; `bluetoothd` is None where its version could not be learnt."""

    kernel_release: str
    bluetoothd: Version | None
    may_administer_network: bool
    adapters: frozenset[str] = frozenset()

    @property
    def kernel(self) -> Version | None:
        """The kernel's version in numbers."""
        return parse_version(self.kernel_release)

    @property
    def is_raspberry_pi_os(self) -> bool:
        """Whether the kernel is one of Raspberry Pi OS."""
        return _RASPBERRY_PI.search(self.kernel_release) is not None


def look_at_machine() -> Machine:
    """Gather the facts; starts `bluetoothd --version`, which touches nothing."""
    return Machine(
        kernel_release=os.uname().release,
        bluetoothd=ask_bluetoothd(_BLUETOOTHD),
        may_administer_network=has_capability(_OWN_STATE, CAP_NET_ADMIN),
        adapters=frozenset(path.name for path in _ADAPTERS.glob("hci*")),
    )


def parse_version(text: str) -> Version | None:
    """Return the first dotted number of a text; None where there is none."""
    found = _NUMBERS.search(text)
    return None if found is None else tuple(int(part) for part in found[0].split("."))


def in_words(version: Version | None) -> str:
    """Return a version as people write it."""
    return "unknown" if version is None else ".".join(str(part) for part in version)


def ask_bluetoothd(programs: Sequence[Path]) -> Version | None:
    """Return the version of the first of these programs that is there, by its own word."""
    for program in programs:
        if not program.exists():
            continue
        try:
            answer = subprocess.run(  # noqa: S603 - a system's own program, by its full path
                [program, "--version"], capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        return parse_version(answer.stdout)
    return None


def has_capability(own_state: Path, bit: int) -> bool:
    """Tell whether a process has a capability in force, by its /proc/…/status."""
    try:
        found = re.search(r"^CapEff:\s*([0-9a-f]{1,16})$", own_state.read_text(), re.MULTILINE)
    except OSError:  # another system than Linux
        return False
    return found is not None and bool(int(found[1], 16) >> bit & 1)
