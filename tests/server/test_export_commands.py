import asyncio
import base64
import io
import json
import os
import sqlite3
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports.header import ExportHeader
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import ExportSigner, public_key_to_base64
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_server.cli import app
from forewarn_server.config import ServerSettings
from forewarn_shell import command_line
from tests.server.hand_clock import NOON, HandClock
from tests.server.published_files import exports_of, texts_in
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import running

SIGNER = ExportSigner(generate_private_key(SECP256R1()), key_id="vn", key_version="v1")
OWN_KEY = public_key_to_base64(SIGNER.private_key.public_key())
OTHER_KEY = public_key_to_base64(generate_private_key(SECP256R1()).public_key())

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_it(*arguments: object) -> tuple[int, str, str]:
        code = command_line.run(app, "forewarn-server", [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_it


@pytest.fixture
def export(tmp_path: Path) -> Path:
    keys = [
        DiagnosisKey(
            TemporaryExposureKey(bytes([place] * 16), Interval(NOON // 600 - 144 * place), 100 + place),
            report_type=ReportType.CONFIRMED_TEST,
            days_since_onset=-1,
            transmission_risk=place,
        )
        for place in range(1, 4)
    ]
    revised = [DiagnosisKey(TemporaryExposureKey(bytes([9] * 16), Interval(NOON // 600 - 500)), ReportType.REVOKED)]
    path = tmp_path / "export.zip"
    with path.open("wb") as file:
        write_export(file, ExportHeader(NOON - 3_600, NOON, "vn"), keys, revised, [SIGNER])
    return path


def test_inspect_prints_header_counts_and_keys_as_json(run: Run, export: Path) -> None:
    code, output, _ = run("export", "inspect", export, "--json")
    told = json.loads(output)
    assert code == 0
    assert (told["key_count"], told["revised_key_count"]) == (3, 1)
    assert told["header"]["region"] == "vn"
    assert (told["header"]["start"], told["header"]["end"]) == (NOON - 3_600, NOON)
    assert told["header"]["signature_infos"][0]["key_version"] == "v1"
    assert told["keys"][1] == {
        "key": "02" * 16,
        "rolling_start": NOON // 600 - 288,
        "rolling_period": 102,
        "report_type": 1,
        "days_since_onset": -1,
        "transmission_risk": 2,
    }
    assert [key["report_type"] for key in told["revised_keys"]] == [5]


def test_inspect_prints_lines_for_a_person(run: Run, export: Path) -> None:
    code, output, _ = run("export", "inspect", export)
    assert code == 0
    assert "span      2021-05-31T11:00:00Z to 2021-05-31T12:00:00Z" in output
    assert "keys      3, and 1 revised" in output
    assert "signed by vn v1" in output
    assert output.count("\nkey ") == 3


def test_verify_says_yes_with_exit_0_and_no_with_exit_1(run: Run, export: Path) -> None:
    code, output, _ = run("export", "verify", export, "--public-key", OWN_KEY)
    assert (code, output) == (0, "verified: signed by vn v1, 3 keys\n")
    code, output, errors = run("export", "verify", export, "--public-key", OTHER_KEY)
    assert (code, output) == (1, "")
    assert errors.count("\n") == 1
    assert run("export", "verify", export, "--public-key", OTHER_KEY, "--public-key", OWN_KEY)[0] == 0


def test_one_changed_bit_of_a_key_is_not_verified(run: Run, export: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(export) as old, zipfile.ZipFile(changed, "w") as new:
        binary = old.read("export.bin")
        new.writestr("export.bin", binary.replace(bytes([2] * 16), bytes([2] * 15 + [3])))
        new.writestr("export.sig", old.read("export.sig"))
    assert run("export", "verify", changed, "--public-key", OWN_KEY)[0] == 1


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off", b"EK Export v1    \xff\xff\xff"])
@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_bad_file_is_one_line_and_exit_2(run: Run, tmp_path: Path, command: str, content: bytes) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    options = ["--public-key", OWN_KEY] if command == "verify" else []
    code, _, errors = run("export", command, path, *options)
    assert code == 2
    assert errors.count("\n") == 1, errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "inspect", "not-there.zip"),
        ("export", "inspect", "."),
        ("export", "verify", "not-there.zip", "--public-key", OWN_KEY),
        ("export", "verify", __file__),
        ("export", "verify", __file__, "--public-key", "no key"),
        ("export", "verify", __file__, "--public-key", base64.b64encode(bytes(91)).decode()),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(run: Run, arguments: tuple[str, ...]) -> None:
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert errors.count("\n") == 1, errors


def test_commands_that_need_a_server_say_so_where_there_is_none(run: Run, tmp_path: Path) -> None:
    for command in ("seal-now", "forget-now"):
        code, _, errors = run(command, "--data", tmp_path)
        assert code == 3
        assert "forewarn-server init" in errors


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda data: b"EK Export v1    " + data))
def test_random_bytes_are_an_export_or_a_bad_export(data: bytes) -> None:
    try:
        found = ExportFile.open(io.BytesIO(data))
        list(found.keys())
    except BadExport:
        pass


async def test_seal_now_and_forget_now_do_what_the_hours_do(
    settings: ServerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> str:
        assert command_line.run(app, "forewarn-server", [*arguments, "--data", str(settings.data)]) == 0
        return capsys.readouterr().out

    # The commands read the machine's clock, so the server beside them stands at the same time.
    async with running(settings, HandClock(now_s=time.time())) as server:
        assert "nothing to seal" in await asyncio.to_thread(command, "seal-now")
        for _ in range(3):
            await published(server, Phone(server).past_keys())
        assert json.loads(await asyncio.to_thread(command, "seal-now", "--json")) == {"files": 1, "keys": 1_000}
        (export,) = await exports_of(server)
        assert len(texts_in(export)) == 1_000
        told = json.loads(await asyncio.to_thread(command, "forget-now", "--json"))
        assert told["overwritten"] is True
        assert "forgotten: no rows" in await asyncio.to_thread(command, "forget-now")


def test_the_record_of_forgetting_is_printed(settings: ServerSettings, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> str:
        assert command_line.run(app, "forewarn-server", [*arguments, "--data", str(settings.data)]) == 0
        return capsys.readouterr().out

    assert command("erasures") == ""
    command("forget-now")
    assert "overwritten" in command("erasures")
    assert "nothing was due" in command("erasures")
    (today,) = json.loads(command("erasures", "--json"))
    assert today == {"day": today["overwritten"], "deleted": {}, "overwritten": today["day"]}
    registry = sqlite3.connect(settings.data / "registry.db")
    with registry:
        registry.execute("UPDATE erasures SET deleted = '{\"keys\": 1000}', overwritten_day = NULL")
    registry.close()
    assert "not overwritten yet: run forget-now  1000 keys" in command("erasures")


@pytest.mark.parametrize("command", [("inspect",), ("verify", "--public-key", OWN_KEY)])
def test_what_is_no_file_is_not_opened(tmp_path: Path, run: Run, command: tuple[str, ...]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # A pipe that nobody writes to would block for ever, and /dev/zero is read for ever.
    for path in (pipe, Path("/dev/zero")):
        code, _, complaint = run("export", command[0], path, *command[1:])
        assert (code, complaint.count("\n")) == (2, 1)
        assert "is no file" in complaint
