"""`forewarn-server keys`: changes by command, seen by a server that runs; no secret is printed or logged."""

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from forewarn_protocol.configuration import parse_configuration
from forewarn_protocol.exports.signing import public_key_hash
from forewarn_server.cli import app
from forewarn_server.config import ServerSettings
from forewarn_server.hours import DAY_S
from forewarn_server.keyrings.policies import Use
from forewarn_shell import command_line
from tests.server.hand_clock import HandClock
from tests.server.reporting_phone import Phone
from tests.server.running_server import running

Output = pytest.CaptureFixture[str]


def forewarn_server(*arguments: object) -> int:
    return command_line.run(app, "forewarn-server", [str(argument) for argument in arguments])


def keys(data: Path, *arguments: str) -> int:
    return forewarn_server("keys", *arguments, "--data", data)


def told(capsys: Output) -> Any:
    return json.loads(capsys.readouterr().out)


def secrets_in(data: Path) -> list[str]:
    """Return each line of each secret on disk."""
    files = [path for path in (data / "keys").rglob("v*") if path.is_file()]
    lines = [line for path in files for line in path.read_text().splitlines()]
    return [line for line in lines if line and "PRIVATE KEY" not in line]


def test_list_shows_each_use_with_state_and_public_half_and_no_secret(data: Path, capsys: Output) -> None:
    assert keys(data, "list", "--json") == 0
    listed = told(capsys)
    assert {key["use"] for key in listed} == set(Use)
    assert {key["state"] for key in listed} == {"active"}
    assert {key["use"] for key in listed if key["public_key"]} == {"certificate", "export", "feed", "upload"}
    assert keys(data, "list") == 0
    shown = capsys.readouterr().out
    assert shown.count("active") == len(Use)
    assert not [secret for secret in secrets_in(data) if secret in shown + json.dumps(listed)]


def test_a_rotation_announces_what_devices_must_know_before_and_the_rest_takes_over_at_once(
    data: Path, capsys: Output
) -> None:
    states: dict[str, list[str]] = {}
    for use in (Use.FEED, Use.EXPORT, Use.REVISION):
        assert keys(data, "rotate", use, "--json") == 0
        made = told(capsys)
        assert (made["use"], made["name"]) == (use, "v2")
    assert keys(data, "list", "--json") == 0
    for key in told(capsys):
        states.setdefault(key["use"], []).append(key["state"])
    announced = ["active", "announced"]
    assert (states["feed"], states["export"], states["revision"]) == (announced, announced, ["retiring", "active"])
    configuration = parse_configuration((data / "public" / "config" / "vn.json").read_bytes())
    assert len(configuration.feed_keys) == len(configuration.export_keys) == 2
    assert keys(data, "rotate", "feed") == 1
    assert "announced already" in capsys.readouterr().err


def test_the_overlap_of_the_feed_key_is_a_setting(data: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_SERVER_FEED_KEY_OVERLAP_DAYS", "7")
    assert keys(data, "rotate", "feed", "--json") == 0
    assert abs(told(capsys)["active_s"] - time.time() - 7 * DAY_S) < 60


def test_a_revocation_destroys_the_key_and_tells_devices(data: Path, capsys: Output) -> None:
    assert keys(data, "list", "--json") == 0
    old = next(key for key in told(capsys) if key["use"] == "feed")
    (secret,) = [(data / "keys" / "feed" / "v1").read_bytes()]
    assert keys(data, "revoke", "feed", "v1") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("feed key v2, active from ")
    configuration = parse_configuration((data / "public" / "config" / "vn.json").read_bytes())
    assert configuration.revoked_feed_keys == (public_key_hash(old["public_key"]),)
    assert old["public_key"] not in configuration.feed_keys
    assert secret not in b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("rotate", "nothing"), 2, "certificate"),
        (("rotate",), 2, "USE"),
        (("revoke", "feed"), 2, "NAME"),
        (("revoke", "feed", "v7"), 1, "there are v1"),
        ((), 2, "Missing command"),
    ],
)
def test_bad_usage_of_keys_is_one_line(
    data: Path, capsys: Output, arguments: tuple[str, ...], code: int, named: str
) -> None:
    assert forewarn_server("keys", *arguments, *(("--data", data) if arguments else ())) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert named in printed.err


def test_a_folder_that_cannot_be_written_changes_nothing_and_says_so(data: Path, capsys: Output) -> None:
    folder = data / "keys" / "token"
    (folder / "v1").rename(data / "kept")
    (folder / "schedule.json").rename(data / "schedule")
    folder.rmdir()
    folder.write_text("a file in its place")
    assert keys(data, "rotate", "token") == 3
    assert capsys.readouterr().err.count("\n") == 1


async def test_a_server_that_runs_uses_what_a_command_changed_and_logs_no_secret(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # The command has the real clock: the server is given its time.
    async with running(ServerSettings.load(data), HandClock(now_s=time.time())) as server:
        secrets = secrets_in(data)
        for use in (Use.CERTIFICATE, Use.FEED):
            assert await asyncio.to_thread(keys, data, "rotate", use) == 0
        server.clock.now_s += 60
        request = await Phone(server).request(Phone(server).past_keys())
        assert jwt.get_unverified_header(request["verificationPayload"])["kid"] == "v2"
        assert (await server.post("/v1/publish", request)).status == 200
        secrets += secrets_in(data)
        assert await asyncio.to_thread(keys, data, "revoke", "certificate", "v2") == 0
        assert (await server.post("/v1/publish", request)).status == 401
        assert len(server.context.keys.feed.announced) == 1
    assert len(set(secrets)) > len(Use)
    assert not [secret for secret in secrets if secret in caplog.text]
    # Positive control: the search finds a secret that was logged.
    logging.getLogger("forewarn_server").warning("planted %s", secrets[0])
    assert secrets[0] in caplog.text


def test_keys_may_lie_outside_the_data_folder_and_a_secret_in_the_environment(
    data: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = (data / "keys").rename(tmp_path / "outside")
    assert keys(data, "list") == 3
    assert "keys/" in capsys.readouterr().err
    monkeypatch.setenv("FOREWARN_SERVER_KEYS", str(outside))
    secret = outside / "revision" / "v1"
    monkeypatch.setenv("FOREWARN_SERVER_KEY_REVISION_V1", secret.read_text())
    secret.unlink()
    assert keys(data, "list", "--json") == 0
    assert len(told(capsys)) == len(Use)
    monkeypatch.setenv("FOREWARN_SERVER_KEY_REVISION", "without a name")
    assert keys(data, "list") == 2
    assert "FOREWARN_SERVER_KEY_REVISION is no setting" in capsys.readouterr().err


def test_the_daily_keys_may_lie_where_the_server_writes_though_the_others_are_read_only(
    data: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "keys" / "code-hash").rename(tmp_path / "daily")
    monkeypatch.setenv("FOREWARN_SERVER_CODE_HASH_KEYS", str(tmp_path / "daily"))
    assert keys(data, "rotate", "code-hash", "--json") == 0
    assert told(capsys)["name"] == "v2"
    assert (tmp_path / "daily" / "v2").exists()
