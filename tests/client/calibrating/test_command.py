"""The command `calibrate`: two processes on one bluetoothd, what each is told, what is refused and with which code."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forewarn_client import cli
from forewarn_client.calibration import CALIBRATION_FILE, Calibration, read_calibration, write_calibration
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.device import DATABASE_FILE
from forewarn_client.presence import LOCK_FILE, only_daemon
from forewarn_shell import command_line
from forewarn_simulations.clocks import ScaledClock
from tests.client.fake_bluez import FakeBluez, fake_bluez

Captured = pytest.CaptureFixture[str]

FACTOR = 20
# The product's command, in whose process time runs faster.
FAST = f"""
import forewarn_client.calibrating.cli as command
from forewarn_simulations.clocks import ScaledClock
command.SystemClock = lambda: ScaledClock(1_750_000_000, {FACTOR})
from forewarn_client.__main__ import main; main()
"""
REFERENCE = ("--reference", "--tx-power", "-20", "--correction", "3")


def call(*arguments: object) -> int:
    return command_line.run(cli.app, "forewarn-client", [str(argument) for argument in arguments])


@pytest.fixture
async def fake(system_bus: str) -> AsyncIterator[FakeBluez]:
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, FACTOR)) as fake:
        for name in ("hci0", "hci1"):
            fake.adapter(name)
        yield fake


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder of the device that is measured, in time that runs faster."""
    monkeypatch.setattr("forewarn_client.calibrating.cli.SystemClock", lambda: ScaledClock(1_750_000_000, FACTOR))
    return with_settings(tmp_path / "device", 'radio = "bluez"\nadapter = "hci1"\n')


def with_settings(data: Path, text: str) -> Path:
    data.mkdir(exist_ok=True)
    (data / SETTINGS_FILE).write_text(f"# mine\n{text}")
    return data


@asynccontextmanager
async def reference_device(data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command at the other end, which a signal ends, as a process."""
    with_settings(data, 'radio = "bluez"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FAST, "--data", str(data), "calibrate", *REFERENCE, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"the reference device listens" in await process.stderr.readline()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def measure(device: Path, types: str = "", *arguments: str) -> int:
    """Call the command; what is typed comes through a pipe."""
    reads, writes = os.pipe()
    os.write(writes, types.encode())
    os.close(writes)
    with os.fdopen(reads) as typed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", typed)
        return await asyncio.to_thread(call, "--data", device, "calibrate", *arguments)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_device_is_measured_beside_a_reference_device_and_keeps_what_was_found(
    fake: FakeBluez, device: Path, capsys: Captured
) -> None:
    fake.rssi_dbm = -62
    async with reference_device(device.with_name("reference")) as reference:
        assert await measure(device, "\n" * 4, "--json") == 0
        reference.send_signal(signal.SIGTERM)
        told, said = await reference.communicate()
    assert (reference.returncode, said) == (0, b"")
    assert [json.loads(line)["orientation"] for line in told.splitlines()] == [1, 2, 3, 4]
    shown = capsys.readouterr()
    assert shown.err.count("press Enter") == 4
    found = json.loads(shown.out)
    # -62 + 3 + 40.2 and -20 - 40.2 + 62: what the fake's kernel "measures" for both.
    assert (found["tx_power_dbm"], found["receiver_correction_db"], found["confidence"]) == (-19, 1.8, 3)
    assert [set(turn) for turn in found["orientations"]] == [{"here", "there"}] * 4

    kept = read_calibration(device)
    assert kept is not None
    assert (kept.radio, str(kept.measured)) == ("bluez hci1", "2025-06-15")
    settings = ClientSettings.load(data=device)
    assert (settings.tx_power_dbm, settings.confidence, settings.receiver_correction_db) == (-19, 3, 1.8)
    assert (device / SETTINGS_FILE).read_text().startswith("# mine\n")
    assert names(device) == {SETTINGS_FILE, CALIBRATION_FILE, LOCK_FILE}, "no diary is made"
    assert not any(adapter.spoken for adapter in fake.adapters.values())


async def test_what_is_not_measured_to_the_end_changes_nothing(fake: FakeBluez, device: Path, capsys: Captured) -> None:
    del fake
    assert await measure(device) == 3
    assert "no reference device is heard" in capsys.readouterr().err.splitlines()[-1]
    async with reference_device(device.with_name("reference")) as reference:
        assert await measure(device, "\n") == 2  # nobody turns it any more
        assert "nobody says here when the device is turned" in capsys.readouterr().err.splitlines()[-1]
        reference.send_signal(signal.SIGINT)
        _, said = await reference.communicate()
    assert reference.returncode == 130
    assert b"Traceback" not in said
    assert names(device) == {SETTINGS_FILE, LOCK_FILE}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 3, "loopback is air inside one process"),
        (["--reference"], 2, "a reference device is one whose radio is known"),
        (["--reference", "--tx-power", "-20"], 2, "give both --tx-power and --correction"),
        (["--reference", "--tx-power", "30", "--correction", "3"], 2, "--tx-power is 30"),
        (["--reference", "--tx-power", "nan", "--correction", "3"], 2, "--tx-power is nan"),
        (["--reference", "--tx-power", "-20 dBm", "--correction", "3"], 2, "--tx-power"),
        ([*REFERENCE, "--distance", "1"], 2, "--distance and --orientations are given to the device"),
        ([*REFERENCE], 3, "loopback"),
        (["--tx-power", "-20"], 2, "give them with --reference"),
        (["--distance", "100"], 2, "wanted: metres between the antennas, 0.5..3"),
        (["--distance", "0"], 2, "wanted: metres between the antennas"),
        (["--distance", "1 m"], 2, "--distance"),
        (["--orientations", "1"], 2, "--orientations"),
        (["--orientations", "16"], 2, "--orientations"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    tmp_path: Path, capsys: Captured, arguments: list[str], code: int, says: str
) -> None:
    assert call("--data", tmp_path / "data", "calibrate", *arguments) == code
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("more", [(), REFERENCE])
def test_beside_a_running_daemon_it_is_refused(tmp_path: Path, capsys: Captured, more: tuple[str, ...]) -> None:
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\n')
    with only_daemon(tmp_path):
        assert call("--data", tmp_path, "calibrate", *more) == 2
    assert "another daemon works on" in capsys.readouterr().err


def test_values_given_by_hand_must_go_first(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\ntx_power_dbm = -7\nconfidence = 1\n')
    assert call("--data", tmp_path, "calibrate") == 2
    assert "tx_power_dbm and confidence would go before what is measured: remove" in capsys.readouterr().err


def test_a_device_that_was_measured_well_may_be_the_reference(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nowhere'}")
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\n')
    well = Calibration(
        radio="bluez hci0", tx_power_dbm=-23, confidence=3, receiver_correction_db=1, error_db=1.5, measured=None
    )
    for confidence, code, says in ((2, 2, "radio is known"), (3, 3, "the system's D-Bus does not answer: start dbus")):
        write_calibration(tmp_path, well.model_copy(update={"confidence": confidence}))
        assert call("--data", tmp_path, "calibrate", "--reference") == code
        assert says in capsys.readouterr().err


def test_a_newer_diary_is_not_even_opened(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nowhere'}")
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\n')
    (tmp_path / DATABASE_FILE).write_bytes(b"a diary that is not ours to read")
    assert call("--data", tmp_path, "calibrate") == 3
    assert "start dbus" in capsys.readouterr().err
    assert (tmp_path / DATABASE_FILE).read_bytes() == b"a diary that is not ours to read"
