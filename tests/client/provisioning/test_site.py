import re
import shutil
from pathlib import Path

import pytest

from forewarn_client.provisioning.site import Site
from forewarn_protocol.errors import BadInput, BadSettings
from tests.client.provisioning.sites import BADGE, FEED_KEY, HEAD, NETWORK, PASSWORD, write_site


def test_a_site_is_read_with_the_settings_of_its_badges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_SERVER", "https://elsewhere.example")
    path = write_site(tmp_path, HEAD + 'time_server = "192.168.50.1"\n' + NETWORK + BADGE + 'led = "ACT"\n')
    site = Site.read(path)
    settings = site.settings_in(path)
    assert (settings.server, settings.public_key, settings.led) == ("http://192.168.50.1:8080", (FEED_KEY,), "ACT")
    assert site.wifi_password(path) == PASSWORD
    assert PASSWORD not in repr(site)


def test_a_site_without_a_network_of_its_own_has_no_password(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    assert Site.read(path).wifi_password(path) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "is no TOML"),
        ("x = " + "[" * 5000, "is no TOML"),
        (HEAD, "badge is missing: a table of settings of forewarn-client"),
        ('desk = "d"\n' + BADGE, "name is missing: the site's name, for the labels"),
        ('name = ""\ndesk = "d"\n' + BADGE, "name is wrong"),
        (HEAD + "colour = 1\n" + BADGE, "colour is nothing that a site has: remove it"),
        (HEAD + 'time_server = "a\\nb"\n' + BADGE, "time_server is wrong"),
        (HEAD + '[badge]\nserver = "http://box"\nradio = "bluez"\n', "[badge] lacks public_key: the feed key"),
        (HEAD + f'[badge]\nserver = "http://box"\npublic_key = "{FEED_KEY}"\n', "[badge] lacks radio: bluez or hci"),
        (HEAD + BADGE.replace("http://", "ftp://"), "in [badge], the setting server is wrong"),
        (HEAD + BADGE + 'tx_power_dbm = "-20 dBm"\n', "wanted: transmit power written into the metadata, whole dBm"),
        (HEAD + BADGE + "number = 7\n", "number is no setting"),
        (HEAD + BADGE + 'data = "/srv"\n', "[badge] holds data"),
        (HEAD + '[wifi]\nssid = "a;b"\npassword_file = "x"\n' + BADGE, "wifi.ssid is wrong"),
        (HEAD + '[wifi]\nssid = "a"\n' + BADGE, "wifi.password_file is missing: set it"),
    ],
)
def test_a_slip_in_a_site_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadSettings) as caught:
        Site.read(write_site(tmp_path, text))
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("password", ["short", "x" * 64, "pässwörter", "two\nlines of it"])
def test_what_is_no_password_of_a_network_is_refused_and_not_shown(tmp_path: Path, password: str) -> None:
    path = write_site(tmp_path, HEAD + NETWORK + BADGE, password=password)
    with pytest.raises(BadSettings) as caught:
        Site.read(path).wifi_password(path)
    assert "one line of 8 to 63 plain characters" in caught.value.message
    assert password not in caught.value.message


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_site(tmp_path, HEAD + NETWORK + BADGE)
    (tmp_path / "wifi.txt").unlink()
    with pytest.raises(BadInput, match=r"wifi\.txt cannot be read"):
        Site.read(path).wifi_password(path)


def test_the_site_in_the_document_is_one_that_provision_takes(tmp_path: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "site.md").read_text()
    (shown,) = re.findall(r"```toml\n(# site\.toml\n.*?)```", document, re.DOTALL)
    path = write_site(tmp_path, re.sub(r'(public_key = )".*"', rf'\1"{FEED_KEY}"', shown))
    shutil.copy(tmp_path / "wifi.txt", tmp_path / "wifi-password.txt")
    site = Site.read(path)
    assert site.wifi_password(path) == PASSWORD
    assert site.settings_in(path).page_port > 1023, "a daemon that is not root can't have a lower one"
