import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from forewarn_client import cli
from forewarn_client.config import SETTINGS_FILE
from forewarn_client.device import DATABASE_FILE, DEVICE_KEY_FILE
from forewarn_client.diary.schema import SCHEMA_VERSION
from forewarn_shell import command_line
from forewarn_shell.command_line import EXIT_MISSING

Captured = pytest.CaptureFixture[str]


def call(*arguments: object) -> int:
    return command_line.run(cli.app, "forewarn-client", [str(argument) for argument in arguments])


# A daemon waits until somebody vouches for the machine's clock; a machine for tests may have nobody who does.
KEPT_CLOCK = "import forewarn_shell.clock as clock; clock.is_disciplined = lambda: True; "


def daemon(data: Path, *options: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-c",
        KEPT_CLOCK + "from forewarn_client.__main__ import main; main()",
        "--data",
        str(data),
        *options,
        "run",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ours


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("used") / "data"
    with daemon(path) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    return path


@pytest.fixture
def data(used: Path, tmp_path: Path) -> Path:
    """Return a data folder in which a daemon ran and was stopped."""
    return shutil.copytree(used, tmp_path / "data")


def test_run_says_one_line_when_it_is_ready_and_stops_cleanly_at_sigterm(tmp_path: Path, capsys: Captured) -> None:
    with daemon(tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"forewarn-client is running: radio loopback, diary {tmp_path}\n"
        assert call("--data", tmp_path, "status", "--json") == 0
        assert json.loads(capsys.readouterr().out)["running"] is True
        assert call("--data", tmp_path, "run") == 2
        assert "another daemon works on" in capsys.readouterr().err
        assert call("--data", tmp_path, "erase", "--yes") == 2
        assert "another daemon works on" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()
    assert call("--data", tmp_path, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_ctrl_c_stops_cleanly_too(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert "Traceback" not in process.stderr.read()


def test_a_daemon_puts_its_first_identifier_on_the_disk_within_seconds(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        connection = sqlite3.connect(tmp_path / DATABASE_FILE)
        deadline = time.monotonic() + 20
        while not (count := connection.execute("SELECT count(*) FROM own_keys").fetchone()[0]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection.close()
        process.send_signal(signal.SIGTERM)
    assert count == 1


def test_status_and_check_of_a_device_that_matched_nothing_yet(data: Path, capsys: Captured) -> None:
    assert call("--data", data, "status") == 0
    shown = capsys.readouterr().out
    assert "not running: start it with 'run'" in shown
    assert shown.splitlines()[0].startswith("Cần giúp đỡ: chương trình không chạy")
    assert call("--data", data, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["condition"] == "call"
    assert call("--data", data, "check") == 3
    assert "can't know" in capsys.readouterr().out
    assert call("--data", data, "check", "--json") == 3
    assert json.loads(capsys.readouterr().out) == {"check": 3, "alerts": [], "withdrawn": [], "last_match": None}


def test_erase_asks_on_a_terminal_and_goes_only_by_a_yes(
    data: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("--data", data, "erase") == 2  # nobody can answer
    assert "run erase --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []
    for answer, code in ((False, 1), (True, 0)):
        monkeypatch.setattr("typer.confirm", lambda text, answer=answer: (asked.append(text), answer)[1])
        assert (data / DEVICE_KEY_FILE).exists()
        assert call("--data", data, "erase") == code
    assert "Nothing can bring them back" in asked[0]
    assert list(data.iterdir()) == []
    assert "Erased." in capsys.readouterr().out
    assert call("--data", data, "erase", "--yes") == 0
    assert "There is no diary" in capsys.readouterr().out


def damaged(data: Path) -> None:
    (data / DATABASE_FILE).write_bytes(b"no database at all" * 100)


def newer(data: Path) -> None:
    connection = sqlite3.connect(data / DATABASE_FILE)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def wrong_unit(data: Path) -> None:
    (data / SETTINGS_FILE).write_text('tx_power_dbm = "-20 dBm"\n')


def short_key(data: Path) -> None:
    (data / DEVICE_KEY_FILE).write_bytes(b"short")


@pytest.mark.parametrize(
    ("harm", "arguments", "code", "says"),
    [
        (newer, ["run"], 3, "newer Forewarn (schema 2): update Forewarn"),
        (newer, ["status"], 3, "newer Forewarn"),
        (damaged, ["check"], 3, "can't know"),
        (short_key, ["status"], 2, "is no device key any more"),
        (wrong_unit, ["run"], 2, "wanted: transmit power written into the metadata, whole dBm, -50..20"),
        (wrong_unit, ["erase", "--yes"], 2, "tx_power_dbm"),
    ],
)
def test_harm_to_a_device_is_one_line_and_changes_nothing(
    data: Path, capsys: Captured, *, harm: object, arguments: Sequence[str], code: int, says: str
) -> None:
    assert callable(harm)
    harm(data)
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    assert call("--data", data, *arguments) == code
    stderr = capsys.readouterr().err
    assert says in stderr
    assert stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.name in before} == before


def test_without_the_systems_dbus_the_daemon_says_so_in_one_line_and_changes_nothing(
    data: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an adapter it waits for one (test_daemon); a bus that is missing needs a person."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={data / 'nowhere'}")
    (data / SETTINGS_FILE).write_text('radio = "bluez"\n')
    assert call("--data", data, "run") == EXIT_MISSING
    said = capsys.readouterr()
    assert said.out == ""
    assert "the system's D-Bus does not answer: start dbus" in said.err
    assert said.err.count("\n") == 1
    call("--data", data, "status", "--json")
    assert json.loads(capsys.readouterr().out)["damaged_entries"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["--server", "example.org", "run"],
            2,
            "wanted: address of the health authority's server, as in https://example.org",
        ),
        (["--server", "ftp://example.org", "status"], 2, "server"),
        (["--public-key", "AAAA", "run"], 2, "DER SubjectPublicKeyInfo"),
        (["--nothing", "run"], 2, "--nothing"),
        (["run", "--nothing"], 2, "--nothing"),
        (["run", "now"], 2, "now"),
        (["nothing"], 2, "nothing"),
        ([], 2, "try: forewarn-client --help"),
        (["status"], 3, "there is no diary in"),
        (["check"], 3, "there is no diary in"),
    ],
)
def test_bad_usage_is_one_line_and_makes_no_diary(
    tmp_path: Path, capsys: Captured, arguments: list[str], code: int, says: str
) -> None:
    data = tmp_path / "data"
    assert call(*(["--data", data] if arguments else []), *arguments) == code
    stderr = capsys.readouterr().err
    assert says in stderr
    assert stderr.startswith("forewarn-client: ")
    assert stderr.count("\n") == 1
    assert not data.exists()


@pytest.mark.parametrize("command", ["run", "status", "erase"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: Captured, command: str) -> None:
    (tmp_path / "file").touch()
    code = call("--data", tmp_path / "file" / "data", command, *(["--yes"] if command == "erase" else []))
    captured = capsys.readouterr()
    assert code == (0 if command == "erase" else 3)  # there is nothing to erase
    assert (captured.err + captured.out).count("\n") == 1


def test_the_commands_that_need_no_device_work_beside_a_wrong_settings_file(tmp_path: Path, capsys: Captured) -> None:
    wrong_unit(tmp_path)
    assert call("--data", tmp_path, "derive", "--tek", "00" * 16, "--start", "2642976", "--json") == 0
    assert json.loads(capsys.readouterr().out)["identifiers"]


@pytest.mark.parametrize(
    "command", ["run", "status", "check", "erase", "report", "calibrate", "match", "derive", "risk"]
)
def test_every_command_has_help(capsys: Captured, command: str) -> None:
    assert call(command, "--help") == 0
    assert f"forewarn-client {command}" in capsys.readouterr().out
