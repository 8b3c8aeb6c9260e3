"""The file of a calibration, and the settings that come from it."""

import os
import stat
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from forewarn_client.calibration import CALIBRATION_FILE, Calibration, read_calibration, write_calibration
from forewarn_client.config import SETTINGS_FILE, ClientSettings, set_by_hand
from forewarn_protocol.errors import BadInput, BadSettings, Missing

MEASURED = Calibration(
    radio="bluez hci0", tx_power_dbm=-23, confidence=2, receiver_correction_db=3.2, error_db=1.9, measured=None
)


def values(loaded: ClientSettings) -> tuple[int, int, float]:
    return loaded.tx_power_dbm, loaded.confidence, loaded.receiver_correction_db


@given(
    st.builds(
        Calibration,
        radio=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200),
        tx_power_dbm=st.integers(-50, 20),
        confidence=st.integers(1, 3),
        receiver_correction_db=st.floats(-40, 40),
        error_db=st.floats(0, 30),
        measured=st.none() | st.dates(),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_calibration_comes_back_from_its_file(tmp_path: Path, calibration: Calibration) -> None:
    write_calibration(tmp_path, calibration)
    assert read_calibration(tmp_path) == calibration


def test_what_was_measured_is_what_the_settings_say(tmp_path: Path) -> None:
    assert values(ClientSettings.load(data=tmp_path, radio="bluez")) == (-20, 0, 0.0)
    path = write_calibration(tmp_path, MEASURED)
    assert values(ClientSettings.load(data=tmp_path, radio="bluez")) == (-23, 2, 3.2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "other", [{}, {"radio": "bluez", "adapter": "hci1"}, {"radio": "hci", "hci_transport": "hci-socket:0"}]
)
def test_what_was_measured_with_one_radio_says_nothing_about_another(tmp_path: Path, other: dict[str, str]) -> None:
    write_calibration(tmp_path, MEASURED)
    assert values(ClientSettings.load(data=tmp_path, **other)) == (-20, 0, 0.0)


def test_the_radio_of_file_and_environment_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_calibration(tmp_path, MEASURED)
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\n')
    assert values(ClientSettings.load(data=tmp_path)) == (-23, 2, 3.2)
    monkeypatch.setenv("FOREWARN_CLIENT_ADAPTER", "hci1")
    assert values(ClientSettings.load(data=tmp_path)) == (-20, 0, 0.0)


def test_what_a_person_set_goes_before_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_calibration(tmp_path, MEASURED)
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\ntx_power_dbm = -7\n')
    monkeypatch.setenv("FOREWARN_CLIENT_CONFIDENCE", "1")
    assert values(ClientSettings.load(data=tmp_path)) == (-7, 1, 3.2)
    assert set_by_hand(tmp_path) == ["tx_power_dbm", "confidence"]


def test_a_calibration_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_calibration(tmp_path, MEASURED).read_bytes()

    def full(descriptor: int) -> None:
        del descriptor
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Missing, match=r"No space left on device.*: the old calibration stands"):
        write_calibration(tmp_path, MEASURED.model_copy(update={"tx_power_dbm": 1}))
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION_FILE]
    assert (tmp_path / CALIBRATION_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tx_power_dbm = 21", "tx_power_dbm: .* less than or equal to 20"),
        ('tx_power_dbm = "-20 dBm"', "tx_power_dbm"),
        ("tx_power_dbm = true", "tx_power_dbm"),
        ("confidence = 0", "confidence"),
        ("receiver_correction_db = nan", "receiver_correction_db"),
        ("error_db = inf", "error_db"),
        ('measured = "today"', "measured"),
        ("radio = 7", "radio"),
        ("server = 1", "server"),
        ("half = ", "Invalid value"),
        ("x = " + "[" * 3000, "nested too deeply"),
        ("# " + "x" * 5000, "larger than"),
    ],
)
def test_a_damaged_calibration_is_one_line_that_names_the_file(tmp_path: Path, line: str, says: str) -> None:
    path = write_calibration(tmp_path, MEASURED)
    name = line.partition(" ")[0]
    kept = [old for old in path.read_text().splitlines() if not old.startswith(f"{name} ")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(BadInput, match=says) as caught:
        ClientSettings.load(data=tmp_path)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_bytes_in_the_file_are_a_calibration_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / CALIBRATION_FILE).write_bytes(data)
    with suppress(BadSettings):  # any other error fails
        read_calibration(tmp_path)


def test_a_calibration_of_no_confidence_cannot_be_made() -> None:
    with pytest.raises(ValidationError):
        Calibration(**MEASURED.model_dump() | {"confidence": 0, "measured": date(2026, 1, 1)})
