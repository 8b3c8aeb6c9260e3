"""The virtual machine's kernel: Debian's package, downloaded and unpacked, never installed, and a first file system.

Both are kept outside the checkout, by version, and made once.
"""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Final

CACHE: Final = Path("/var/tmp/forewarn-vm")  # noqa: S108 - 70 MB that outlive a session, under a name that says whose
MODULES: Final = (
    "virtio_pci",
    "9p",
    "9pnet_virtio",
    "overlay",
    "hci_vhci",
    "cmac",
    "ctr",
    "ecb",
    "uhid",
)
"""The host's folders, and Bluetooth with its cryptography."""
INIT: Final = Path(__file__).with_name("init.sh")
TOOLS: Final = ("apt-get", "apt-cache", "dpkg-deb", "depmod", "modprobe", "cpio", "busybox")
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class NoKernel(Exception):
    """This machine can't get one; says why."""


@dataclass(frozen=True)
class Kernel:
    """What QEMU starts."""

    image: Path
    initrd: Path


def find(tool: str) -> str | None:
    """Return the path of a program, also of those that only root usually has on its path."""
    return shutil.which(tool, path=_PATH)


def kernel() -> Kernel:
    """Return Debian's present kernel, made now where it is not there yet.

    Raises:
        NoKernel: no tool, or no package, to make it of.
    """
    if missing := [tool for tool in TOOLS if find(tool) is None]:
        raise NoKernel(f"this machine has no {', '.join(missing)}")
    release = _release()
    folder = CACHE / release
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        unpacked = folder / "package"
        if not unpacked.exists():
            _download(release, unpacked)
        made = Kernel(unpacked / "boot" / f"vmlinuz-{release}", folder / f"initrd-{_contents()}.gz")
        if not made.initrd.exists():
            _make_initrd(release, unpacked, made.initrd)
    return made


def _contents() -> str:
    return hashlib.sha256("\n".join([*MODULES, INIT.read_text()]).encode()).hexdigest()[:16]


def _release() -> str:
    depends = _run("apt-cache", "depends", "linux-image-amd64")
    found = re.search(r"Depends: linux-image-(\S+)", depends)
    if found is None:
        raise NoKernel("apt knows no kernel package (linux-image-amd64): run apt-get update")
    return found[1]


def _download(release: str, unpacked: Path) -> None:
    with tempfile.TemporaryDirectory(dir=unpacked.parent) as name:
        folder = Path(name)
        _run("apt-get", "download", f"linux-image-{release}", cwd=folder)
        (package,) = folder.glob("*.deb")
        _run("dpkg-deb", "-x", str(package), str(folder / "package"))
        _run("depmod", "-b", str(folder / "package"), release)
        (folder / "package").rename(unpacked)


def _make_initrd(release: str, unpacked: Path, initrd: Path) -> None:
    with tempfile.TemporaryDirectory(dir=initrd.parent) as name:
        root = Path(name)
        for folder in ("bin", "modules", "proc", "sys", "dev", "host", "layer", "root"):
            (root / folder).mkdir()
        shutil.copy(find("busybox") or "", root / "bin" / "busybox")
        shutil.copy(INIT, root / "init")
        (root / "init").chmod(0o755)
        order = _needed(release, unpacked)
        for module in order:
            shutil.copy(module, root / "modules")
        (root / "modules" / "order").write_text("".join(f"{module.name}\n" for module in order))
        listed = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
        command = [find("cpio") or "", "--create", "--format=newc", "--quiet"]
        archive = subprocess.run(command, input=listed.encode(), cwd=root, capture_output=True, check=True)  # noqa: S603 - found on the path
        whole = initrd.with_suffix(".part")
        whole.write_bytes(gzip.compress(archive.stdout, 1))
        whole.rename(initrd)


def _needed(release: str, unpacked: Path) -> list[Path]:
    """Return the files of the modules and of what they depend on, in the order in which they load."""
    files: dict[Path, None] = {}
    for module in MODULES:
        steps = _run("modprobe", "-d", str(unpacked), "-S", release, "--show-depends", module)
        files |= dict.fromkeys(Path(line.split()[1]) for line in steps.splitlines() if line.startswith("insmod "))
    return list(files)


def _run(tool: str, *arguments: str, cwd: Path | None = None) -> str:
    command = [find(tool) or tool, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - found on the path
    if done.returncode:
        raise NoKernel(f"{tool} failed: {' '.join(done.stderr.split())[:300]}")
    return done.stdout
