import configparser
import os
import pwd
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.page.keys import PAGE_KEY_FILE, PageKeys
from forewarn_client.provisioning.badge import (
    LIGHT_FILE,
    NETWORK_FILE,
    TIME_FILE,
    USB_FILE,
    first_boot_unit,
    settings_toml,
    write_badge,
    write_settings,
)
from forewarn_client.provisioning.site import Site
from forewarn_protocol.errors import BadInput
from tests.client.provisioning.sites import BADGE, HEAD, NETWORK, write_site

PAGE = 'page_host = "10.55.0.1"\npage_port = 8000\n'
LIGHTS = 'led = "ACT"\nbuzzer = "/sys/class/leds/b"\n'
WHOLE = HEAD + 'time_server = "192.168.50.1"\n' + NETWORK + BADGE + PAGE + LIGHTS


def site_in(folder: Path, text: str = WHOLE) -> Site:
    return Site.read(write_site(folder, text))


def test_settings_come_back_from_a_badge_as_the_site_said_them(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    boot = write_badge(site, "12345678", tmp_path / "badge-01")
    assert ClientSettings.load(data=boot) == site.settings_in(tmp_path / "site.toml").model_copy(update={"data": boot})


def test_any_text_number_and_list_of_a_site_is_the_same_in_a_badges_file() -> None:
    values = {"text": 'phòng "y tế"\t\\ \x7f', "number": -20, "real": 0.5, "list": ["a", "b"]}
    assert tomllib.loads(settings_toml(values)) == values


def test_badges_differ_in_the_secret_of_their_page_alone(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    one, other = (write_badge(site, "12345678", tmp_path / f"badge-{number:02}") for number in (7, 8))
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted([LIGHT_FILE, NETWORK_FILE, USB_FILE, TIME_FILE, PAGE_KEY_FILE, "settings.toml"])
    differing = [name for name in files if (one / name).read_bytes() != (other / name).read_bytes()]
    assert differing == [PAGE_KEY_FILE]
    assert {path.stat().st_mode & 0o777 for path in one.iterdir()} == {0o600}


def test_a_badge_written_again_follows_the_site_and_keeps_the_secret_on_its_label(tmp_path: Path) -> None:
    boot = write_badge(site_in(tmp_path), "12345678", tmp_path / "badge-01")
    token = PageKeys.open(boot).token
    again = write_badge(site_in(tmp_path, HEAD + BADGE.replace("8080", "9090")), None, tmp_path / "badge-01")
    assert again == boot
    assert PageKeys.open(boot).token == token
    assert ClientSettings.load(data=boot).server == "http://192.168.50.1:9090"
    assert sorted(path.name for path in boot.iterdir()) == [PAGE_KEY_FILE, "settings.toml"]


def test_settings_of_a_machine_that_say_something_else_stay(tmp_path: Path) -> None:
    site, data = site_in(tmp_path), tmp_path / "data"
    write_settings(site, data)
    write_settings(site, data)
    (data / "settings.toml").write_text('language = "vi"\n')
    with pytest.raises(BadInput, match="says something else: remove it"):
        write_settings(site, data)
    assert (data / "settings.toml").read_text() == 'language = "vi"\n'


def test_the_network_gets_another_address_each_time_and_no_name(tmp_path: Path) -> None:
    boot = write_badge(site_in(tmp_path), " back\\slash", tmp_path / "badge-01")
    network = configparser.RawConfigParser()
    network.read_string((boot / NETWORK_FILE).read_text())
    assert network["wifi"]["ssid"] == "site network"
    assert network["wifi"]["cloned-mac-address"] == "random"
    assert network["ipv4"]["dhcp-send-hostname"] == "false"
    assert network["wifi-security"]["psk"] == "\\sback\\\\slash"


def test_a_page_on_the_usb_link_gets_the_link_and_one_on_the_badge_alone_does_not(tmp_path: Path) -> None:
    boot = write_badge(site_in(tmp_path), "12345678", tmp_path / "badge-01")
    link = configparser.RawConfigParser()
    link.read_string((boot / USB_FILE).read_text())
    assert link["ipv4"]["address1"] == "10.55.0.1/24"
    write_badge(site_in(tmp_path, WHOLE.replace("10.55.0.1", "127.0.0.1")), "12345678", tmp_path / "badge-01")
    assert not (boot / USB_FILE).exists()


def test_the_lights_rule_names_lights_of_the_kernels_class_alone(tmp_path: Path) -> None:
    rules = (write_badge(site_in(tmp_path), "12345678", tmp_path / "badge-01") / LIGHT_FILE).read_text()
    assert rules.count("\n") == 1
    assert 'KERNEL=="ACT"' in rules
    assert "pattern repeat" in rules


def take_in(boot: Path, root: Path, unit: str) -> None:
    """Run a first-boot unit's commands below `root`, as its own user instead of the badge's."""
    user = pwd.getpwuid(os.getuid()).pw_name
    for line in unit.splitlines():
        command = line.removeprefix("ExecStart=")
        if command == line or "udevadm" in line:
            continue
        words = [
            word.replace("/boot/firmware/forewarn", str(boot)) if "/boot/firmware" in word else word
            for word in shlex.split(command.removeprefix("-").replace("=forewarn ", f"={user} "))
        ]
        words = [words[0], *(_below(word, root, boot) for word in words[1:])]
        if words[1] == "-c":  # a script has paths inside
            words[2] = words[2].replace(" /var/lib", f" {root}/var/lib")
        ran = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - the unit under test
        assert ran.returncode == 0 or command.startswith("-"), ran.stderr


def _below(word: str, root: Path, boot: Path) -> str:
    option, equals, path = word.rpartition("=")
    return word if not path.startswith("/") or path.startswith(str(boot)) else f"{option}{equals}{root}{path}"


@pytest.mark.parametrize("text", [WHOLE, HEAD + BADGE])
def test_the_first_boot_takes_a_badges_folder_in_and_leaves_nothing_on_the_card(tmp_path: Path, text: str) -> None:
    site, root = site_in(tmp_path, text), tmp_path / "root"
    boot = write_badge(site, "12345678", tmp_path / "card")
    token = PageKeys.open(boot).token
    for folder in ("etc/systemd", "var/lib", "etc/NetworkManager/system-connections"):
        (root / folder).mkdir(parents=True)
    unit = first_boot_unit("forewarn", Path("/var/lib/forewarn"))
    # The boot partition is FAT: it knows neither owners nor modes.
    for path in boot.iterdir():
        path.chmod(0o755)
    take_in(boot, root, unit)
    data = root / "var/lib/forewarn"
    assert not boot.exists()
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in data.iterdir()} == {
        "settings.toml": 0o600,
        PAGE_KEY_FILE: 0o600,
    }
    assert PageKeys.open(data).token == token
    assert ClientSettings.load(data=data).server == "http://192.168.50.1:8080"
    network = root / "etc/NetworkManager/system-connections" / NETWORK_FILE
    assert network.exists() == (text == WHOLE)
    assert (network.parent / USB_FILE).exists() == (text == WHOLE)
    if text == WHOLE:
        assert network.stat().st_mode & 0o777 == 0o600
        assert (root / "etc/systemd/timesyncd.conf.d" / TIME_FILE).read_text() == "[Time]\nNTP=192.168.50.1\n"
        assert (root / "etc/udev/rules.d" / LIGHT_FILE).exists()


@pytest.mark.parametrize("is_its_own", [True, False])
def test_a_diary_that_came_with_the_image_is_deleted_and_one_of_the_same_badge_stays(
    tmp_path: Path, *, is_its_own: bool
) -> None:
    """Forty copies of one diary would speak one identifier at forty places."""
    boot = write_badge(site_in(tmp_path, HEAD + BADGE), None, tmp_path / "card")
    data = tmp_path / "root" / "var/lib/forewarn"
    data.mkdir(parents=True)
    (data / "diary.db").touch()
    (data / PAGE_KEY_FILE).write_bytes((boot / PAGE_KEY_FILE).read_bytes() if is_its_own else bytes(32))
    take_in(boot, tmp_path / "root", first_boot_unit("forewarn", Path("/var/lib/forewarn")))
    assert (data / "diary.db").exists() == is_its_own
    assert (data / "settings.toml").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_first_boots_unit(tmp_path: Path) -> None:
    unit = tmp_path / "forewarn-first-boot.service"
    unit.write_text(first_boot_unit("forewarn", Path("/var/lib/forewarn")))

    def complaints() -> str:
        ran = subprocess.run(  # noqa: S603 - a system's own program
            ["systemd-analyze", "verify", "--man=no", "--generators=no", unit],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return "".join(line for line in ran.stderr.splitlines() if unit.name in line and "not executable" not in line)

    assert complaints() == ""
    # Positive control.
    unit.write_text(unit.read_text().replace("Type=oneshot", "Type=once"))
    assert complaints()
