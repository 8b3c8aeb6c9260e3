"""Writing the service's files, and saying what to type next."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.installing.units import DATA, Plan
from forewarn_client.signals.leds import CLASS
from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.files import write_durably

_HOMES: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - what a service may not use
_RUNNING_SYSTEMD: Final = Path("/run/systemd/system")
_PATIENCE_S: Final = 10.0


def own_program() -> Path:
    """Return the command beside the interpreter that runs it."""
    return Path(sys.executable).with_name("forewarn-client")


def plan_for(program: Path, user: str, root: Path, *, tap: bool) -> Plan:
    """Make a plan by the settings that lie in the service's data folder under `root`, if any do.

    Raises:
        BadInput: the user's name is none, or the service could not see the program.
        BadSettings: the settings there are wrong.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user):
        raise BadInput("--user-name wants a name of small letters, digits, _ and -, at most 31")
    if any(program.is_relative_to(home) for home in _HOMES) or not re.fullmatch(r"/[\w./+-]+", str(program)):
        raise BadInput(f"a service can't run {program}: install Forewarn under /opt/forewarn, or give --program")
    data = root / DATA.relative_to("/")
    settings = ClientSettings.load(data=data)
    transport, _, where = settings.hci_transport.partition(":")
    transport = transport if settings.radio == "hci" else ""
    devices = {"usb": ("char-usb_device",), "serial": (where.split(",")[0],)}.get(transport, ())
    lights = tuple(Path(os.path.realpath(CLASS / name)) for name in (settings.led, settings.buzzer) if name is not None)
    return Plan(
        program,
        user,
        network_admin=tap or transport == "hci-socket",
        devices=devices,
        groups=("dialout",) if transport == "serial" else (),
        lights=lights,
        systemd=systemd_version() if root == Path("/") else 0,
    )


def demand_systemd() -> None:
    """Refuse a machine that no systemd runs.

    Raises:
        Missing: there is none.
    """
    if not _RUNNING_SYSTEMD.is_dir():
        raise Missing("no systemd runs this machine: let its own service manager start 'forewarn-client run'")


def systemd_version() -> int:
    """Return the version of this machine's systemd; 0: there is none, or it does not say."""
    program = shutil.which("systemctl")
    if program is None:
        return 0
    try:
        said = subprocess.run(  # noqa: S603 - the system's own program
            [program, "--version"], stdout=subprocess.PIPE, text=True, check=False, timeout=_PATIENCE_S
        ).stdout
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd (\d{1,4})\b", said)
    return int(found[1]) if found else 0


def write_files(files: Mapping[Path, str], root: Path, say: Callable[[str], None]) -> None:
    """Write what differs from what is there, and say which.

    Raises:
        Missing: it can't be written.
    """
    for path, text in files.items():
        target = root / path.relative_to("/")
        try:
            if target.exists() and target.read_text(errors="replace") == text:
                say(f"unchanged  {target}")
                continue
            write_durably(target, text.encode())
        except OSError as error:
            raise Missing(f"{target} can't be written ({error.strerror}): run it with sudo, or give --root") from error
        say(f"written    {target}")


def next_steps(plan: Plan) -> list[str]:
    """Return what makes the files a running service, one command a line."""
    status = shlex.join([str(plan.program), "--data", str(DATA), "status"])
    return [
        "sudo systemd-sysusers",
        f"sudo install -d -m 700 {DATA}",
        f"sudo nano {DATA / SETTINGS_FILE}    # server, public_key, radio",
        "sudo systemctl daemon-reload",
        "sudo systemctl reload dbus",
        "sudo systemctl enable --now forewarn",
        f"sudo -u {plan.user} {status}",
        f"sudo usermod -aG {plan.user} $USER    # and log in again: for notifications on this desktop",
        "systemctl --user enable --now forewarn-notify",
    ]
