"""Bad input through the commands a person types: one line, the right exit code, and not a byte of the diary lost.

A diary of a newer version, a setting in a wrong unit, bytes on the air. What bluetoothd may answer is in
`test_bluez_nonsense.py`, a server's answers in `test_hostile_server.py`.
"""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from forewarn_client import cli
from forewarn_client.calibration import CALIBRATION_FILE
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.device import DATABASE_FILE, Device
from forewarn_client.diary.schema import SCHEMA_VERSION
from forewarn_client.listening import hear
from forewarn_client.radio.loopback import Air, LoopbackRadio, Transmission
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import SERVICE_DATA_BYTES, Payload, encode
from forewarn_protocol.errors import BadSettings
from forewarn_shell import command_line
from forewarn_shell.clock import SystemClock
from forewarn_simulations.clocks import VirtualClock

Captured = pytest.CaptureFixture[str]

OPEN_THE_DIARY = {
    "run": ["run"],
    "status": ["status"],
    "check": ["check", "--json"],
    "doctor": ["doctor"],
    "report": ["report", "12345678", "--yes"],
    "keys": ["keys", "export", "--code", "12345678", "--out", "OUT", "--yes"],
    "move out": ["move", "out", "OUT", "--yes", "--passphrase-file", "PHRASE"],
    "pause": ["pause"],
    "resume": ["resume"],
}
READ_SETTINGS = OPEN_THE_DIARY | {
    "erase": ["erase", "--yes"],
    "calibrate": ["calibrate"],
    "reference": ["calibrate", "--reference", "--tx-power", "-20", "--correction", "3"],
    "move in": ["move", "in", "OUT", "--passphrase-file", "PHRASE"],
}


def arguments(data: Path, words: list[str]) -> list[str]:
    places = {"OUT": str(data.parent / "out"), "PHRASE": str(data.parent / "phrase")}
    (data.parent / "phrase").write_text("một hai ba bốn năm sáu\n")
    return ["--data", str(data), *(places.get(word, word) for word in words)]


def in_this_process(data: Path, words: list[str], capsys: Captured) -> tuple[int, str]:
    code = command_line.run(cli.app, "forewarn-client", arguments(data, words))
    captured = capsys.readouterr()
    return code, captured.err or captured.out


def as_a_process(data: Path, words: list[str]) -> tuple[int, str]:
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "forewarn_client", *arguments(data, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stderr or ran.stdout


def is_one_line(words: list[str], said: str) -> bool:
    """The doctor's line is one of its many, and `check` says it as an answer."""
    return words[0] == "doctor" or (said.startswith("forewarn-client: ") and said.count("\n") == 1)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose diary holds a day's key."""
    path = tmp_path_factory.mktemp("used") / "data"

    async def use() -> None:
        async with Device.open(ClientSettings(data=path), SystemClock()) as device:
            await device.keyring.next_identifier(2_900_000)

    asyncio.run(use())
    return path


@pytest.fixture
def data(used: Path, tmp_path: Path) -> Path:
    return shutil.copytree(used, tmp_path / "data")


def written_newer(data: Path, journal: str) -> None:
    """Make the diary one that a newer Forewarn left: `journal` is its kind, or "log" for one that was just killed."""
    connection = sqlite3.connect(data / DATABASE_FILE, isolation_level=None)
    connection.execute("PRAGMA journal_mode = " + {"log": "WAL"}.get(journal, journal))
    connection.execute("CREATE TABLE of_the_future (sighting BLOB)")
    connection.execute("INSERT INTO of_the_future VALUES (randomblob(9000))")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    as_killed = {path: path.read_bytes() for path in data.iterdir()}
    connection.close()
    if journal == "log":
        for path, content in as_killed.items():
            path.write_bytes(content)
        assert len(as_killed[data / f"{DATABASE_FILE}-wal"]) > 9000


def contents(data: Path) -> dict[str, bytes]:
    """Return what must not change; the index of the log is no content, and the lock is empty."""
    return {path.name: path.read_bytes() for path in data.iterdir() if not path.name.endswith(("-shm", ".lock"))}


@pytest.mark.parametrize("journal", ["WAL", "DELETE", "log"])
@pytest.mark.parametrize("command", OPEN_THE_DIARY)
def test_a_diary_of_a_newer_version_is_exit_3_and_stays_byte_for_byte_as_it_was(
    data: Path, capsys: Captured, command: str, journal: str
) -> None:
    words = OPEN_THE_DIARY[command]
    written_newer(data, journal)
    before = contents(data)
    code, said = in_this_process(data, words, capsys)
    assert (code, contents(data)) == (3, before)
    assert f"was written by a newer Forewarn (schema {SCHEMA_VERSION + 1}): update Forewarn" in said
    assert is_one_line(words, said)


@pytest.mark.parametrize("journal", ["DELETE", "log"])
def test_opening_it_as_one_of_ours_would_change_it(
    data: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    """Positive control: without the look before it is opened for writing, it is refused and yet changed."""
    monkeypatch.setattr("forewarn_client.diary.database._version_on_disk", lambda _: 0)
    written_newer(data, journal)
    before = contents(data)
    code, _ = in_this_process(data, ["status"], capsys)
    assert code == 3
    assert contents(data) != before


def test_a_newer_diary_may_be_erased(data: Path, capsys: Captured) -> None:
    written_newer(data, "WAL")
    assert in_this_process(data, ["erase", "--yes"], capsys) == (0, "Erased.\n")
    assert not (data / DATABASE_FILE).exists()


@pytest.mark.parametrize("command", READ_SETTINGS)
def test_a_wrong_unit_is_exit_2_for_every_command_and_changes_nothing(
    data: Path, capsys: Captured, command: str
) -> None:
    words = READ_SETTINGS[command]
    (data / SETTINGS_FILE).write_text('tx_power_dbm = "4 dBm"\n')
    before = contents(data)
    code, said = in_this_process(data, words, capsys)
    assert (code, contents(data)) == (2, before)
    assert "the setting tx_power_dbm is wrong" in said
    assert "wanted: transmit power written into the metadata, whole dBm, -50..20" in said
    assert said.startswith("forewarn-client: ")
    assert said.count("\n") == 1


NUMBERS = {name: field for name, field in ClientSettings.model_fields.items() if field.annotation in {int, float}}
UNITS = ("dBm", "dB", " dBm", "ms", "s", "%", "k", " sightings", "e")
WRONG = (
    st.sampled_from(["true", "false", "nan", "inf", "-inf", "1979-05-27", "07:32:00", "[]", "{}", "[1]", "1e400"])
    | st.integers(10**5, 10**30).map(str)
    | st.integers(-(10**30), -(10**5)).map(str)
    | st.integers(-50, 20).map('"{}"'.format)
    | st.builds('"{}{}"'.format, st.integers(-50, 20), st.sampled_from(UNITS))
    | st.text("abcdxyz% ", max_size=10).map('"{}"'.format)
)


@given(st.sampled_from(sorted(NUMBERS)), WRONG)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_whatever_else_stands_for_a_number_names_the_setting_and_its_unit(
    tmp_path: Path, name: str, written: str
) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f"{name} = {written}\n")
    with pytest.raises(BadSettings) as caught:
        ClientSettings.load(data=tmp_path)
    assert caught.value.message.startswith(f"the setting {name} is wrong (")
    assert caught.value.message.endswith(f"wanted: {NUMBERS[name].description}")


@pytest.mark.parametrize(
    "line", ["scan_window = 4000", 'scan_window_s = "4000 ms"', "rotation_s = 600", 'fetch_gap = "2h"']
)
def test_a_duration_is_no_setting_and_a_line_that_gives_one_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f"{line}\n")
    with pytest.raises(BadSettings, match=f"^{line.split(maxsplit=1)[0]} is no setting: remove it"):
        ClientSettings.load(data=tmp_path)


class SameRoom:
    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int:
        del sender, receiver, monotonic_s
        return -60


GOOD = bytes(range(20))
FIELDS = st.builds(
    lambda kind, content: bytes([1 + len(content), kind]) + content,
    st.sampled_from([0x01, 0x03, 0x16, 0x21, 0xFF]),
    st.sampled_from([b"", b"\x6f\xfd"]).flatmap(lambda start: st.binary(max_size=26).map(start.__add__)),
)
ON_THE_AIR = st.binary(max_size=60) | st.lists(FIELDS, max_size=4).map(b"".join)


async def _hear_beside_a_neighbour(data: Path, strange: list[bytes]) -> tuple[dict[bytes, int], set[bytes]]:
    """Return what was kept of one window in which anybody says anything, and what the diary says of it afterwards."""
    clock = VirtualClock(1_750_075_200)
    air = Air(clock, SameRoom())
    for number, advertisement in enumerate([encode(Payload.from_service_data(GOOD)), *strange]):
        air.begin(Transmission(f"neighbour {number}", bytes(6), advertisement, 0.0, 0.25))
    radio = LoopbackRadio(air, "self", Timing(random=Random(1)))
    await radio.start()
    async with Device.open(ClientSettings(data=data), clock) as device:
        window = await hear(radio, clock, 4.0, None, 4000)
        await device.diary.record(window)
        read = await device.diary.sightings(date(2025, 6, 16))
    return {said: len(samples) for said, samples in window.bursts.items()}, {s.payload.service_data for s in read}


@given(st.lists(ON_THE_AIR, max_size=12))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_whatever_bytes_are_on_the_air_the_neighbour_beside_them_is_kept_and_read_back(
    used: Path, strange: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept, read = asyncio.run(_hear_beside_a_neighbour(shutil.copytree(used, Path(folder) / "data"), strange))
    assert kept[GOOD] == 16
    assert read == set(kept)
    assert all(len(service_data) == SERVICE_DATA_BYTES for service_data in kept)


def wrong_unit(data: Path) -> None:
    (data / SETTINGS_FILE).write_text("receiver_correction_db = '3 dB'\n")


def wrong_calibration(data: Path) -> None:
    (data / CALIBRATION_FILE).write_text("tx_power_dbm = '4 dBm'\n")


def newer(data: Path) -> None:
    written_newer(data, "log")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        (newer, 3, "newer Forewarn"),
        (wrong_unit, 2, "wanted: correction added to each RSSI, dB, -40..40"),
        (wrong_calibration, 2, "calibration.toml cannot be read"),
    ],
)
@pytest.mark.parametrize("command", OPEN_THE_DIARY)
def test_the_same_as_processes(data: Path, command: str, harm: Callable[[Path], None], code: int, says: str) -> None:
    harm(data)
    before = contents(data)
    ended, said = as_a_process(data, OPEN_THE_DIARY[command])
    assert (ended, contents(data)) == (code, before)
    assert says in said
    assert is_one_line(OPEN_THE_DIARY[command], said)
