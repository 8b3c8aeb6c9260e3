"""A virtual machine for one story: the real kernel, no disk of its own, no network, and an end in every case."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.system.vm.kernel import Kernel

CHECKOUT: Final = Path(__file__).parents[3]
GUEST: Final = Path(__file__).with_name("guest.sh")
STORY_WITHIN_S: Final = 420
"""Real seconds on the busiest machine; a quiet one needs a quarter of it."""
_BOOT_WITHIN_S: Final = 120
_BLUETOOTHD: Final = Path("/usr/libexec/bluetooth/bluetoothd")
_PROGRAMS: Final = ("setpriv", "qemu-system-x86_64", "busybox", "dbus-daemon")
_GUEST_IMPORTS: Final = "import forewarn_client.cli, tests.system.vm.controllers, tests.system.vm.story"
_MEMORY_MB: Final = 1280


def missing_parts() -> list[str]:
    """Return what a machine is made of that is not installed here."""
    return [
        *(program for program in _PROGRAMS if shutil.which(program) is None),
        *([] if _BLUETOOTHD.exists() else ["bluetoothd"]),
    ]


def run_machine(kernel: Kernel, results: Path, **environment: object) -> str:
    """Start a machine, wait until it has switched itself off, and return what its console showed.

    `results` is a folder that it may write to; the rest of this machine's files it sees, and can't change.
    """
    path = os.pathsep.join(filter(None, sys.path))
    _compile(path)
    own = {"CHECKOUT": CHECKOUT, "PYTHON": sys.executable, "PYTHONPATH": path, "WITHIN_S": STORY_WITHIN_S}
    lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in {**own, **environment}.items()]
    (results / "environment").write_text("".join(lines))
    shutil.copy(GUEST, results / "guest.sh")
    console = results / "console.txt"
    with console.open("wb") as shown:
        machine = subprocess.Popen(  # noqa: S603 - found on the path
            [*_command(kernel), *_share("results", results, read_only=False), *_share("host", Path("/"))],
            stdin=subprocess.DEVNULL,
            stdout=shown,
            stderr=subprocess.STDOUT,
        )
        try:
            machine.wait(_BOOT_WITHIN_S + STORY_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass  # what the console shows says more than this
        finally:
            machine.kill()
            machine.wait()
    return console.read_text(errors="replace")


def _compile(path: str) -> None:
    """Import here what the machine will: there it would be compiled ten times as slowly, and be kept by nobody."""
    command = [sys.executable, "-c", _GUEST_IMPORTS]
    subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": path}, check=True)  # noqa: S603 - our own


def _command(kernel: Kernel) -> list[str]:
    return [
        *("setpriv", "--pdeathsig=KILL", "qemu-system-x86_64"),  # it ends with us, however we end
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(_MEMORY_MB)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none", "-serial", "stdio"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initrd)),
        *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
    ]


def _share(tag: str, folder: Path, *, read_only: bool = True) -> list[str]:
    options = "readonly=on" if read_only else "readonly=off"
    return [
        *("-fsdev", f"local,id={tag},path={folder},security_model=none,multidevs=remap,{options}"),
        *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
