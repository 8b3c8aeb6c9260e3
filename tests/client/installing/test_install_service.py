import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from forewarn_client import cli
from forewarn_client.installing import writing
from forewarn_client.installing.units import DATA, Plan
from forewarn_client.installing.writing import demand_systemd, next_steps, plan_for, systemd_version
from forewarn_protocol.errors import BadInput, BadSettings, Missing
from forewarn_shell.command_line import run
from tests.conftest import lacking

ROOT = Path(__file__).parents[3]
PROGRAM = Path("/opt/forewarn/bin/forewarn-client")
DAEMON = Path("/etc/systemd/system/forewarn.service")
NOTIFIER = Path("/etc/systemd/user/forewarn-notify.service")
LEAST_EXPOSED = 2.5
"""From 0 (nothing) to 10 (everything); a unit that says nothing is at 9.6."""
FORMS = {
    "plain": Plan(PROGRAM),
    "tap": Plan(PROGRAM, network_admin=True),
    "usb": Plan(PROGRAM, devices=("char-usb_device",)),
    "serial": Plan(PROGRAM, devices=("/dev/ttyACM0",), groups=("dialout",)),
    "light": Plan(PROGRAM, lights=(Path("/sys/devices/platform/leds/leds/ACT"),)),
}


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = shutil.which("systemd-analyze")
    if program is None:
        lacking("systemd", "no systemd-analyze is installed: install systemd")
        raise AssertionError

    def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the system's own program on our own files
            [program, "--no-pager", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )

    return ran


def exposure(said: subprocess.CompletedProcess[str]) -> float:
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said.stdout)
    assert found, said
    return float(found[1])


def with_real_program(text: str) -> str:
    """Return a unit that names a program which is here, as verify demands."""
    return text.replace(str(PROGRAM), "/bin/true")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("form", FORMS)
def test_systemd_finds_no_fault_in_the_units(
    form: str, tmp_path: Path, analyze: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    files = FORMS[form].files()
    for path, how in ((DAEMON, []), (NOTIFIER, ["--user"])):
        unit = tmp_path / path.name
        unit.write_text(with_real_program(files[path]))
        said = analyze("verify", *how, unit)
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    # Positive control: a directive that systemd does not know.
    unit.write_text(with_real_program(files[NOTIFIER]).replace("MemoryMax", "MemoryMost"))
    assert "MemoryMost" in analyze("verify", "--user", unit).stderr


def test_the_units_exposure_is_what_the_documents_say_and_low(
    tmp_path: Path, analyze: Callable[..., subprocess.CompletedProcess[str]], figure: Callable[[str], None]
) -> None:
    document = (ROOT / "docs" / "raspberry-pi.md").read_text()
    for form, words in (("plain", "without `--tap`"), ("tap", "with it")):
        unit = tmp_path / DAEMON.name
        unit.write_text(FORMS[form].files()[DAEMON])
        said = analyze("security", "--offline=yes", f"--threshold={int(LEAST_EXPOSED * 10)}", unit)
        measured = exposure(said)
        figure(f"systemd-analyze security of forewarn.service, {form}: {measured} (bar {LEAST_EXPOSED})")
        assert said.returncode == 0
        assert measured <= LEAST_EXPOSED
        if systemd_version() == 252:  # Debian 12's; other versions weigh anew
            assert f"{measured} {words}" in document
    # Positive control: the same unit without what it takes from the daemon.
    text = FORMS["plain"].files()[DAEMON]
    bare = re.sub(
        r"^(Protect|Restrict(?!art)|SystemCall|Private|NoNew|Cap|Lock|Memory|Device).*\n", "", text, flags=re.MULTILINE
    )
    unit.write_text(bare)
    said = analyze("security", "--offline=yes", f"--threshold={int(LEAST_EXPOSED * 10)}", unit)
    assert said.returncode != 0
    assert exposure(said) > 2 * LEAST_EXPOSED


def test_only_the_tap_and_a_controller_of_the_kernels_get_a_capability() -> None:
    plain, tap = (lines(FORMS[form].files()[DAEMON]) for form in ("plain", "tap"))
    assert "AmbientCapabilities=" in plain
    assert "CapabilityBoundingSet=" in plain
    assert "AmbientCapabilities=CAP_NET_ADMIN" in tap
    assert "CapabilityBoundingSet=CAP_NET_ADMIN" in tap
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6" in plain
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_BLUETOOTH" in tap


def test_a_controller_behind_usb_or_a_serial_line_gets_its_device_and_nothing_else() -> None:
    usb, serial, plain = (lines(FORMS[form].files()[DAEMON]) for form in ("usb", "serial", "plain"))
    assert {"DevicePolicy=closed", "DeviceAllow=char-usb_device rw"} <= set(usb)
    assert "AF_NETLINK" in next(line for line in usb if line.startswith("RestrictAddressFamilies"))
    assert {"DeviceAllow=/dev/ttyACM0 rw", "SupplementaryGroups=dialout"} <= set(serial)
    assert "PrivateDevices=yes" not in usb + serial
    assert "PrivateDevices=yes" in plain


def test_the_daemon_may_write_the_light_that_it_has_and_ask_who_keeps_the_clock() -> None:
    unit = lines(FORMS["light"].files()[DAEMON])
    assert "ReadWritePaths=-/sys/devices/platform/leds/leds/ACT" in unit
    assert "ProtectKernelTunables=yes" in unit
    filters = [line for line in unit if line.startswith("SystemCallFilter")]
    assert filters[-1] == "SystemCallFilter=adjtimex clock_adjtime"
    assert not [line for line in unit if line.startswith("ProtectClock")]


def test_a_systemd_that_knows_steps_waits_longer_each_time() -> None:
    assert "RestartSteps=6" in lines(Plan(PROGRAM, systemd=257).files()[DAEMON])
    assert "RestartSteps=6" not in lines(Plan(PROGRAM, systemd=252).files()[DAEMON])
    assert {"Restart=always", "StartLimitIntervalSec=0"} <= set(lines(Plan(PROGRAM).files()[DAEMON]))


def test_the_policy_lets_the_services_user_and_nobody_else_speak_to_bluetoothd() -> None:
    policy_text = Plan(PROGRAM, user="tracer").files()[Path("/etc/dbus-1/system.d/forewarn.conf")]
    policy = ET.fromstring(policy_text)  # noqa: S314 - our own
    assert [(one.attrib, [child.attrib for child in one]) for one in policy] == [
        ({"user": "tracer"}, [{"send_destination": "org.bluez"}])
    ]


_ALL_IMPORTS = """
import ctypes, mmap, os, sys
if sys.argv[1] == "strict":
    assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0  # PR_SET_MDWE: memory is writable or executable, never both
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
_WORK = """
import mmap, os
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    print("strict")
import bleak, bumble, dbus_fast, forewarn_client.assessing.worker, forewarn_client.cli
import forewarn_client.radio.bluez, forewarn_client.radio.hci, forewarn_client.radio.hci_socket
from forewarn_shell.timekeeping import is_disciplined
is_disciplined()
print("works")
"""


def test_all_that_the_daemon_loads_works_where_no_memory_may_be_written_and_executed() -> None:
    """MemoryDenyWriteExecute, by the kernel's own switch; the control shows that it forbids."""

    def said(how: str) -> list[str]:
        command = [sys.executable, "-c", _ALL_IMPORTS, how, _WORK]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ourselves
        if how == "strict" and "AssertionError" in ran.stderr:
            pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
        return ran.stdout.split()

    assert said("lax") == ["works"]
    assert said("strict") == ["strict", "works"]


@pytest.fixture
def _no_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test write into the machine's own folders, whatever it does wrong."""
    monkeypatch.setattr(writing, "_RUNNING_SYSTEMD", Path("/nonexistent"))
    return


def install(*arguments: str | Path) -> int:
    return run(cli.app, "forewarn-client", ["install-service", "--program", str(PROGRAM), *map(str, arguments)])


@pytest.mark.usefixtures("_no_machine")
def test_the_command_writes_the_files_once_and_says_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install("--root", tmp_path, "--tap", "--user-name", "tracer") == 0
    first = capsys.readouterr().out
    written = {path: (tmp_path / path.relative_to("/")).read_text() for path in Plan(PROGRAM).files()}
    assert written == Plan(PROGRAM, "tracer", network_admin=True).files()
    assert first.count("written ") == len(written)
    assert "sudo systemctl enable --now forewarn" in first
    assert install("--root", tmp_path, "--tap", "--user-name", "tracer") == 0
    assert capsys.readouterr().out.count("unchanged ") == len(written)
    assert install("--root", tmp_path) == 0
    assert (tmp_path / DAEMON.relative_to("/")).read_text() == Plan(PROGRAM).files()[DAEMON]


@pytest.mark.usefixtures("_no_machine")
def test_a_dry_run_prints_the_files_and_writes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install("--root", tmp_path, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert all(f"# {path}\n{text}" in printed for path, text in Plan(PROGRAM).files().items())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_machine")
def test_what_stands_in_the_way_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install() == 3
    assert "no systemd runs this machine" in capsys.readouterr().err
    (tmp_path / "etc").write_text("no folder")
    assert install("--root", tmp_path) == 3
    assert "can't be written" in capsys.readouterr().err
    assert install("--root", tmp_path, "--user-name", "Ngọc") == 2
    assert install("--root", tmp_path, "--program", "/home/an/forewarn-client") == 2
    assert "/opt/forewarn" in capsys.readouterr().err
    with pytest.raises(Missing, match="systemd"):
        demand_systemd()


def settings(root: Path, text: str) -> None:
    data = root / DATA.relative_to("/")
    data.mkdir(parents=True, exist_ok=True)
    (data / "settings.toml").write_text(text)


def test_the_units_follow_the_settings_of_the_services_data_folder(tmp_path: Path) -> None:
    def plan() -> Plan:
        return plan_for(PROGRAM, "forewarn", tmp_path, tap=False)

    assert plan() == Plan(PROGRAM)
    settings(tmp_path, 'radio = "hci"\nled = "/sys/somewhere/ACT"\n')
    assert plan() == Plan(PROGRAM, network_admin=True, lights=(Path("/sys/somewhere/ACT"),))
    settings(tmp_path, 'radio = "hci"\nhci_transport = "serial:/dev/ttyACM0,1000000"\n')
    assert plan() == Plan(PROGRAM, devices=("/dev/ttyACM0",), groups=("dialout",))
    settings(tmp_path, 'radio = "hci"\nhci_transport = "usb:0"\n')
    assert plan().devices == ("char-usb_device",)
    settings(tmp_path, 'radio = "bluez"\nhci_transport = "usb:0"\n')
    assert plan() == Plan(PROGRAM)
    settings(tmp_path, "radio = 7\n")
    with pytest.raises(BadSettings):
        plan()
    with pytest.raises(BadInput):
        plan_for(Path("/opt/two words/forewarn-client"), "forewarn", tmp_path, tap=False)


def test_the_guide_shows_the_steps_that_the_command_says() -> None:
    guide = (ROOT / "docs" / "raspberry-pi.md").read_text()
    missing = [step for step in next_steps(Plan(PROGRAM)) if re.split(r"\s+#", step)[0] not in guide]
    assert not missing
