import json
import re
import signal
import socket
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from forewarn_server.cli import app
from forewarn_server.config import SETTINGS_FILE
from forewarn_shell import command_line
from tests.server.server_process import server_process

SPKI = re.compile(r"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/=]{88}")
Output = pytest.CaptureFixture[str]


def forewarn_server(*arguments: object) -> int:
    return command_line.run(app, "forewarn-server", [str(argument) for argument in arguments])


def assert_one_line(output: Output, *named: str) -> None:
    printed = output.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert all(name in printed.err for name in named), printed.err


def test_init_makes_a_server_and_prints_its_public_keys(tmp_path: Path, capsys: Output) -> None:
    assert forewarn_server("init", "--data", tmp_path / "new" / "data", "--region", "vn") == 0
    assert len(SPKI.findall(capsys.readouterr().out)) == 2


def test_init_again_changes_nothing(data: Path, capsys: Output) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert forewarn_server("init", "--data", data, "--region", "vn", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["created"] == []
    assert SPKI.fullmatch(told["feed_key"])
    assert SPKI.fullmatch(told["export_key"])
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_init_makes_what_is_missing(data: Path, capsys: Output) -> None:
    (data / "registry.db").unlink()
    (data / "keys" / "token" / "v1").unlink()
    assert forewarn_server("init", "--data", data, "--region", "vn", "--json") == 0
    assert json.loads(capsys.readouterr().out)["created"] == ["token key", "registry database"]


@pytest.mark.parametrize("region", ["", "VN", "../vn", "a b", "x" * 33])
def test_an_impossible_region_makes_nothing(tmp_path: Path, capsys: Output, region: str) -> None:
    assert forewarn_server("init", "--data", tmp_path / "data", "--region", region) == 2
    assert_one_line(capsys, "region")
    assert list(tmp_path.iterdir()) == []


def test_the_server_of_another_region_is_not_taken_over(data: Path, capsys: Output) -> None:
    assert forewarn_server("init", "--data", data, "--region", "la") == 2
    assert_one_line(capsys, "vn")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--port", 0),
        ("migrate",),
        ("api-key", "add", "--role", "issuer"),
        ("code", "issue"),
        ("seal-now",),
        ("forget-now",),
        ("erasures",),
    ],
    ids=lambda command: command[0],
)
def test_without_init_every_command_says_so(tmp_path: Path, capsys: Output, command: tuple[object, ...]) -> None:
    assert forewarn_server(*command, "--data", tmp_path) == 3
    assert_one_line(capsys, "forewarn-server init")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "--port", 70000), "port"),
        (("run", "--port", "many"), "--port"),
        (("run", "--role", "publish"), "--role all"),
        (("api-key", "add"), "--role"),
        (("api-key", "add", "--role", "king"), "--role"),
        (("api-key", "add", "--role", "issuer", "--name", "x" * 101), "name"),
        (("code", "issue", "--test-type", "perhaps"), "--test-type"),
        (("code", "issue", "--symptom-date", "31.05.2021"), "symptomDate"),
        (("code", "issue", "--symptom-date", "2001-01-01"), "symptomDate"),
        (("code", "issue", "--test-date", "2999-01-01"), "testDate"),
        (("nothing",), "nothing"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    data: Path, capsys: Output, arguments: tuple[object, ...], named: str
) -> None:
    assert forewarn_server(*arguments, *(("--data", data) if arguments != ("nothing",) else ())) == 2
    assert_one_line(capsys, named)


@pytest.mark.parametrize("arguments", [(), ("code",), ("api-key",), ("export",)])
def test_without_a_command_one_short_line_says_where_help_is(capsys: Output, arguments: tuple[str, ...]) -> None:
    assert forewarn_server(*arguments) == 2
    assert capsys.readouterr().err == "forewarn-server: Missing command. (try: forewarn-server --help)\n"


def test_a_damaged_database_is_one_line_and_exit_3(data: Path, capsys: Output) -> None:
    (data / "exposure.db").write_bytes(b"half a file")
    assert forewarn_server("code", "issue", "--data", data) == 3
    assert_one_line(capsys, "exposure.db", "restore")


def test_migrate_says_what_it_did(data: Path, capsys: Output) -> None:
    (data / "registry.db").unlink()
    assert forewarn_server("migrate", "--data", data) == 0
    assert capsys.readouterr().out == "exposure: is up to date\nregistry: migrated\n"


def test_an_api_key_is_shown_once_and_opens_its_routes(data: Path, capsys: Output) -> None:
    assert forewarn_server("api-key", "add", "--data", data, "--role", "issuer", "--name", "ward 3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["role"], told["name"], told["id"]) == ("issuer", "ward 3", 1)
    assert told["api_key"].encode() not in b"".join(path.read_bytes() for path in data.glob("registry.db*"))


def test_a_code_is_issued_at_the_console(data: Path, capsys: Output) -> None:
    assert forewarn_server("code", "issue", "--data", data, "--test-type", "likely", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert re.fullmatch(r"\d{8}", told["code"])
    assert re.fullmatch(r"[0-9a-z]{16}", told["longCode"])
    assert "padding" not in told
    assert forewarn_server("code", "issue", "--data", data) == 0
    assert "long code" in capsys.readouterr().out


def test_the_data_folder_can_come_from_the_environment(
    data: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWARN_SERVER_DATA", str(data))
    assert forewarn_server("migrate") == 0
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_says_where_it_listens_and_a_signal_stops_it_cleanly(data: Path, number: signal.Signals) -> None:
    with server_process(data, "--port", "0") as (process, ready):
        match = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+)\n", ready)
        assert match, ready
        with urlopen(match[1] + "/health") as response:  # noqa: S310 - our own address
            assert json.load(response) == {"status": "ok"}
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in complaints
    assert "answers leave at once" in complaints  # tests do without the clock grid, and an operator would be told


def test_commands_work_beside_the_running_server(data: Path, capsys: Output) -> None:
    with server_process(data, "--port", "0") as (_, ready):
        url = ready.split()[1]
        assert forewarn_server("code", "issue", "--data", data, "--json") == 0
        code = json.loads(capsys.readouterr().out)["code"]
        body = json.dumps({"code": code}).encode()
        request = Request(url + "/api/verify", body, {"Content-Type": "application/json"})  # noqa: S310 - our own address
        with urlopen(request) as response:  # noqa: S310 - our own address
            assert json.load(response)["testtype"] == "confirmed"


def test_a_port_in_use_is_one_line_and_exit_3(data: Path, capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert forewarn_server("run", "--data", data, "--port", port) == 3
    assert_one_line(capsys, str(port), "in use")


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "a" * 64])
def test_an_address_that_is_not_ours_is_one_line_and_exit_3(data: Path, capsys: Output, host: str) -> None:
    assert forewarn_server("run", "--data", data, "--host", host, "--port", 0) == 3
    assert_one_line(capsys, host)


def test_run_refuses_an_empty_database(data: Path, capsys: Output) -> None:
    (data / "registry.db").write_bytes(b"")
    assert forewarn_server("run", "--data", data, "--port", 0) == 3
    assert_one_line(capsys, "restore it from a backup")


def test_a_wrong_settings_file_is_one_line_and_exit_2(data: Path, capsys: Output) -> None:
    (data / SETTINGS_FILE).write_text('region = "vn"\nport = "x"\n')
    assert forewarn_server("run", "--data", data) == 2
    assert_one_line(capsys, "port")
