from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn_protocol.errors import BadInput, BadSettings, ForewarnError, Missing
from forewarn_server.config import SETTINGS_FILE, ServerSettings
from forewarn_server.setting_up import initialise


def test_the_command_line_goes_over_the_environment_and_that_over_the_file(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / SETTINGS_FILE).write_text('region = "vn"\nport = 1\nhost = "file"\npadded_keys = 5\n')
    monkeypatch.setenv("FOREWARN_SERVER_PORT", "2")
    monkeypatch.setenv("FOREWARN_SERVER_HOST", "environment")
    loaded = ServerSettings.load(data, port=3, host=None)
    assert (loaded.port, loaded.host, loaded.padded_keys) == (3, "environment", 5)


def test_an_authority_without_name_is_called_as_its_region(data: Path) -> None:
    assert ServerSettings.load(data).authority == "vn"


def test_a_folder_without_server_says_init(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="forewarn-server init"):
        ServerSettings.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('region = "vn"\nunknown = 1\n', "unknown"),
        ('region = "../etc"\n', "region"),
        ("port = 1\n", "region"),
        ('region = "vn"\nport = 70000\n', "port"),
        ('region = "vn"\nembargo_h = 1\n', "embargo_h"),
        ('region = "vn"\nkey_retention_days = 15\n', "key_retention_days"),
        ('region = "vn"\nport = nan\n', "port"),
        ('region = "vn"\nhealth_authority_id = "a b"\n', "health_authority_id"),
        ('region = "vn"\nport = true\n', "port is wrong: true and false are no values"),
        ('region = "vn"\nlog_level = false\n', "log_level"),
        ('region = "vn"\nshort_code_minutes = 60\n', "short_code_minutes"),
        ('region = "vn"\ncertificate_minutes = 60\n', "certificate_minutes"),
        ('region = "vn"\ntoken_hours = 1\n', "token_hours"),
        ("region = ", SETTINGS_FILE),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(data: Path, text: str, named: str) -> None:
    (data / SETTINGS_FILE).write_text(text)
    with pytest.raises(BadSettings, match=named) as caught:
        ServerSettings.load(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("region", ["an-unusually-long-region", "VN", "v_n", "-vn", "vn\n", ""])
def test_a_region_that_devices_refuse_is_refused_before_anything_is_made(tmp_path: Path, region: str) -> None:
    with pytest.raises(BadSettings, match="region is wrong: a region is 1 to 16 small letters"):
        initialise(tmp_path / "data", region)
    assert not (tmp_path / "data").exists()


def test_the_longest_region_is_served(tmp_path: Path) -> None:
    assert initialise(tmp_path / "data", "a-region-of-16-c").region == "a-region-of-16-c"


def test_the_name_of_an_authority_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="1 to 64 letters"):
        initialise(tmp_path / "data", "vn", "Ministry of Health")


def test_a_wrong_environment_is_named_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_SERVER_PORT", "many")
    with pytest.raises(BadSettings, match="port"):
        ServerSettings.load(data)


def test_a_variable_that_is_no_setting_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_SERVER_EMBARGO", "3")
    with pytest.raises(BadSettings, match="FOREWARN_SERVER_EMBARGO is no setting"):
        ServerSettings.load(data)


def test_a_variable_set_to_nothing_is_not_set(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_SERVER_PORT", "")
    assert ServerSettings.load(data).port == 8080


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
def test_random_settings_files_raise_only_the_family(data: Path, content: bytes) -> None:
    (data / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(ForewarnError):
        ServerSettings.load(data)


def test_a_huge_settings_file_is_not_read(data: Path) -> None:
    (data / SETTINGS_FILE).write_bytes(b"#" * 100_000)
    with pytest.raises(BadInput, match="larger"):
        ServerSettings.load(data)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_where_the_data_folder_should_be_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="give a folder"):
        initialise(tmp_path / place, "vn")
