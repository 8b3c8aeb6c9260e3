"""What the doctor says of a device's calibration."""

from datetime import date
from pathlib import Path

import pytest

from forewarn_client.calibration import Calibration, write_calibration
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.doctor.calibration import judge_calibration
from forewarn_client.doctor.checks import Level

MEASURED = Calibration(
    radio="bluez hci0",
    tx_power_dbm=-23,
    confidence=2,
    receiver_correction_db=3.2,
    error_db=2.1,
    measured=date(2026, 3, 1),
)


def judged(data: Path, **given: object) -> tuple[Level, str]:
    check = judge_calibration(ClientSettings.load(**({"data": data, "radio": "bluez"} | given)))
    return check.level, check.sentence


def test_a_device_that_was_never_measured_is_told_what_to_do(tmp_path: Path) -> None:
    level, sentence = judged(tmp_path)
    assert level is Level.WARNING
    assert "run 'calibrate' beside a reference device" in sentence


def test_a_measured_device_is_told_when_and_how_well(tmp_path: Path) -> None:
    write_calibration(tmp_path, MEASURED)
    assert judged(tmp_path) == (Level.OK, "measured on 2026-03-01, confidence medium (± 2.1 dB)")
    write_calibration(tmp_path, MEASURED.model_copy(update={"measured": None}))
    assert judged(tmp_path)[1].startswith("measured, confidence")
    write_calibration(tmp_path, MEASURED.model_copy(update={"confidence": 1}))
    assert judged(tmp_path)[0] is Level.WARNING


def test_what_was_measured_with_another_radio_does_not_count(tmp_path: Path) -> None:
    write_calibration(tmp_path, MEASURED)
    assert judged(tmp_path, adapter="hci1") == (
        Level.WARNING,
        "it was measured with bluez hci0 and does not count for bluez hci1: run 'calibrate' beside a reference device",
    )


def test_a_power_given_by_hand_is_said_and_two_words_for_it_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SETTINGS_FILE).write_text("tx_power_dbm = -7\nconfidence = 1\n")
    assert judged(tmp_path) == (Level.OK, "given by hand: tx_power_dbm = -7, confidence = 1")
    write_calibration(tmp_path, MEASURED)
    assert judged(tmp_path)[0] is Level.WARNING
    (tmp_path / SETTINGS_FILE).unlink()
    assert judged(tmp_path)[0] is Level.OK
    monkeypatch.setenv("FOREWARN_CLIENT_TX_POWER_DBM", "-7")
    assert "goes before calibration.toml: remove one of the two" in judged(tmp_path)[1]
