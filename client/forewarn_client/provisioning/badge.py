"""What goes onto one badge: a folder for the boot partition of its SD card, and the unit that takes it in.

All badges get the same files but for the page's secret. Neither a badge's number nor its wearer is in any of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from forewarn_client.config import SETTINGS_FILE
from forewarn_client.page.address import is_loopback
from forewarn_client.page.keys import PAGE_KEY_FILE, PageKeys
from forewarn_client.provisioning.site import Site
from forewarn_protocol.errors import BadInput
from forewarn_shell.files import make_folder, write_durably

BOOT_FOLDER: Final = "forewarn"
"""Copied as it is to the top of the boot partition."""
NETWORK_FILE: Final = "forewarn-site.nmconnection"
USB_FILE: Final = "forewarn-usb.nmconnection"
TIME_FILE: Final = "forewarn-time.conf"
LIGHT_FILE: Final = "90-forewarn.rules"
FIRST_BOOT_UNIT: Final = "forewarn-first-boot.service"

_SECRET: Final = 0o600


def settings_toml(values: Mapping[str, Any]) -> str:
    """Return settings as TOML, for values that came out of TOML: text, numbers, lists of them."""
    # JSON's text, number and list are TOML's as well, but for one character that JSON does not escape.
    lines = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
    return lines.replace("\x7f", "\\u007f")


def write_settings(site: Site, data: Path) -> None:
    """Write a badge's settings and, where there is none, its page's secret.

    Raises:
        BadInput: the folder has settings that say something else.
        Missing: it can't be written.
    """
    path, text = data / SETTINGS_FILE, settings_toml(site.badge).encode()
    make_folder(data, mode=0o700)
    if path.exists() and path.read_bytes() != text:
        raise BadInput(f"{path} is there already and says something else: remove it, and provision again")
    write_durably(path, text, mode=_SECRET)
    PageKeys.open(data)


def write_badge(site: Site, password: str | None, folder: Path) -> Path:
    """Write the folder of one badge and return it; an earlier one is brought up to date, and keeps its secret.

    Raises:
        Missing: it can't be written.
    """
    boot = folder / BOOT_FOLDER
    (boot / SETTINGS_FILE).unlink(missing_ok=True)
    write_settings(site, boot)
    files = {
        NETWORK_FILE: None if site.wifi is None or password is None else _network(site.wifi.ssid, password),
        USB_FILE: _usb_link(str(site.badge.get("page_host", ""))),
        TIME_FILE: None if site.time_server is None else f"[Time]\nNTP={site.time_server}\n",
        LIGHT_FILE: _light_rules([name for name in (site.badge.get("led"), site.badge.get("buzzer")) if name]),
    }
    for name, text in files.items():
        if text:
            write_durably(boot / name, text.encode(), mode=_SECRET)
        else:
            (boot / name).unlink(missing_ok=True)
    return boot


def first_boot_unit(user: str, data: Path) -> str:
    """Return the unit of the image that takes a badge's folder in, once, and leaves nothing of it on the card.

    What an image brought along, or an earlier wearer left, is of another page: it is deleted, for two badges with one
    diary would speak as one. A badge that gets its own folder once more keeps its diary. A file that a site has no use
    for is not there: the lines that begin with a hyphen do without.
    """
    source = f"/boot/firmware/{BOOT_FOLDER}"
    own = f"--owner={user} --group={user}"
    return f"""[Unit]
Description=Take in what provisioning put on the card
DefaultDependencies=no
RequiresMountsFor=/boot/firmware {data} /etc
ConditionPathExists={source}/{SETTINGS_FILE}
After=local-fs.target systemd-udevd.service
Before=sysinit.target systemd-timesyncd.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cmp --silent {source}/{PAGE_KEY_FILE} {data}/{PAGE_KEY_FILE} || rm --recursive --force {data}'
ExecStart=/usr/bin/install --directory {own} --mode=0700 {data}
ExecStart=/usr/bin/install {own} --mode=0600 --target-directory={data} {source}/{SETTINGS_FILE} {source}/{PAGE_KEY_FILE}
ExecStart=-/usr/bin/install -D --mode=0600 --target-directory=/etc/NetworkManager/system-connections \
{source}/{NETWORK_FILE}
ExecStart=-/usr/bin/install -D --mode=0600 --target-directory=/etc/NetworkManager/system-connections \
{source}/{USB_FILE}
ExecStart=-/usr/bin/install -D --mode=0644 --target-directory=/etc/systemd/timesyncd.conf.d {source}/{TIME_FILE}
ExecStart=-/usr/bin/install -D --mode=0644 --target-directory=/etc/udev/rules.d {source}/{LIGHT_FILE}
ExecStart=-/usr/bin/udevadm control --reload
ExecStart=-/usr/bin/udevadm trigger --subsystem-match=leds --action=add
ExecStart=/usr/bin/rm --recursive {source}

[Install]
WantedBy=sysinit.target
"""


def _network(ssid: str, password: str) -> str:
    # NetworkManager's own escapes for a backslash and for a space at the beginning.
    escaped = password.replace("\\", "\\\\")
    escaped = f"\\s{escaped[1:]}" if escaped.startswith(" ") else escaped
    return f"""[connection]
id=forewarn-site
type=wifi

[wifi]
ssid={ssid}
cloned-mac-address=random

[wifi-security]
key-mgmt=wpa-psk
psk={escaped}

[ipv4]
method=auto
dhcp-send-hostname=false

[ipv6]
method=auto
dhcp-send-hostname=false
"""


def _usb_link(page_host: str) -> str | None:
    """Return the network of the badge's USB cable, where the page is on it; who plugs in gets an address."""
    if not page_host or is_loopback(page_host):
        return None
    return f"""[connection]
id=forewarn-usb
type=ethernet
interface-name=usb0

[ipv4]
method=shared
address1={page_host}/24

[ipv6]
method=disabled
"""


def _light_rules(names: list[str]) -> str:
    """Return udev's rules that choose the trigger and give its files to the daemon's group, for LEDs by name."""
    files = "brightness trigger pattern repeat"
    return "".join(
        f'SUBSYSTEM=="leds", ACTION=="add", KERNEL=="{name}", RUN+="/bin/sh -c \'modprobe ledtrig-pattern; '
        f"cd /sys/class/leds/{name} && echo pattern > trigger && chgrp forewarn {files} && chmod g+w {files}'\"\n"
        for name in names
        if "/" not in name
    )
