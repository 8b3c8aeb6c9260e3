import base64
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_protocol.errors import BadSettings
from forewarn_protocol.exports.signing import public_key_to_base64

KEYS = [public_key_to_base64(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(2)]


def write(folder: Path, text: str) -> Path:
    (folder / SETTINGS_FILE).write_text(text)
    return folder


def test_an_argument_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'server = "https://file.example"\nlanguage = "en"\nregion = "hn"\n')
    monkeypatch.setenv("FOREWARN_CLIENT_SERVER", "https://environment.example")
    monkeypatch.setenv("FOREWARN_CLIENT_LANGUAGE", "vi")
    settings = ClientSettings.load(data=tmp_path, server="https://argument.example/", public_key=None)
    assert settings.server == "https://argument.example"
    assert (settings.language, settings.region) == ("vi", "hn")


def test_the_data_folder_of_the_environment_holds_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "tx_power_dbm = -7\n")
    monkeypatch.setenv("FOREWARN_CLIENT_DATA", str(tmp_path))
    monkeypatch.setenv("FOREWARN_CLIENT_SERVER", "")  # set to nothing is not set
    settings = ClientSettings.load()
    assert (settings.data, settings.tx_power_dbm, settings.server) == (tmp_path, -7, None)


def test_several_feed_keys_are_told_apart_by_commas_or_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ClientSettings.load(data=tmp_path, public_key=", ".join(KEYS)).public_key == tuple(KEYS)
    monkeypatch.setenv("FOREWARN_CLIENT_PUBLIC_KEY", " ".join(KEYS))
    assert ClientSettings.load(data=tmp_path).public_key == tuple(KEYS)
    assert ClientSettings.load(data=write(tmp_path, f"public_key = {KEYS[:1]}")).public_key == tuple(KEYS)
    monkeypatch.delenv("FOREWARN_CLIENT_PUBLIC_KEY")
    assert ClientSettings.load(data=tmp_path).public_key == (KEYS[0],)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('tx_power_dbm = "-20 dBm"', "tx_power_dbm .* wanted: transmit power .* whole dBm, -50..20"),
        ('tx_power_dbm = "-20"', "tx_power_dbm is wrong .text in quotes is no number.; wanted: .* whole dBm"),
        ("tx_power_dbm = 21", "tx_power_dbm .* -50..20"),
        ('receiver_correction_db = "3dB"', "receiver_correction_db .* dB, -40..40"),
        ("tx_power_dbm = true", "tx_power_dbm is wrong .true and false"),
        ("receiver_correction_db = nan", "receiver_correction_db"),
        ("maximum_sightings_per_window = 1", "maximum_sightings_per_window .* sightings"),
        ("scan_window_s = 4", "scan_window_s is no setting: remove it"),
        ('server = "example.org"', "server .* as in https://example.org"),
        ('server = "ftp://example.org"', "server"),
        ('server = "https://user:word@example.org"', "server"),
        ('server = "https://example.org:99999"', "server"),
        ('server = "https://example.org/?a=b"', "server"),
        (f'server = "https://{"a" * 64}.org"', "server"),
        ('server = "https://example..org"', "server"),
        ('server = "https://exa mple.org"', "server"),
        ('server = "https://example\\u0000.org"', "server"),
        ('public_key = "AAAA"', "public_key .* DER SubjectPublicKeyInfo"),
        ("public_key = 7", "public_key"),
        ('region = "../vn"', "region is wrong .a region is 1 to 16 small letters"),
        ('region = "VN"', "region is wrong .a region is 1 to 16 small letters"),
        ('language = "fr"', "language of alerts: vi or en"),
        ('radio = "zigbee"', "radio to use: loopback, bluez or hci"),
        ("service_uuid = 65536", "service_uuid .* 0..65535"),
        ('data = "/elsewhere"', "remove data"),
        ("tx_power_dbm = -20 dBm", "settings.toml cannot be read: .* line 1"),
        ("\x00", "settings.toml cannot be read"),
        ("region = " + "[" * 5000, "settings.toml cannot be read: it is nested too deeply"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_with_what_to_give(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadSettings, match=says) as caught:
        ClientSettings.load(data=write(tmp_path, text))
    assert "\n" not in caught.value.message


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_SERVR", "https://example.org")
    with pytest.raises(BadSettings, match="FOREWARN_CLIENT_SERVR is no setting"):
        ClientSettings.load(data=tmp_path)


def test_a_number_in_quotes_is_one_in_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_TX_POWER_DBM", "-7")
    assert ClientSettings.load(data=tmp_path).tx_power_dbm == -7
    with pytest.raises(BadSettings, match=r"tx_power_dbm is wrong [(]text in quotes is no number"):
        ClientSettings.load(data=tmp_path, tx_power_dbm="-7")  # as out of a site's file


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = ClientSettings(data=tmp_path)
    with pytest.raises(ValidationError):
        settings.region = "hn"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(base64.b64encode(bytes(30)))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_bytes_in_the_settings_file_are_settings_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes(data)
    with suppress(BadSettings):  # any other error fails
        ClientSettings.load(data=tmp_path)
