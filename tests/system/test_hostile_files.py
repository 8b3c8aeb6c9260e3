"""Hostile files and keys given by hand: one line on stderr, the documented exit code, and nothing of them told."""

import json
from pathlib import Path

import pytest

from forewarn_client.config import ClientSettings
from forewarn_protocol.errors import BadSettings
from forewarn_protocol.exports.signing import public_key_to_base64
from forewarn_shell.command_line import start
from tests.protocol.handmade_exports import Handmade, bytes_field, key, private_key, zipped
from tests.protocol.handmade_zips import Entry, laid_out
from tests.protocol.test_hostile_feeds import NO_FEED, every_other_key

RIGHT_KEY = public_key_to_base64(private_key(1).public_key())
WHOLE = Handmade()
BINARY, SIGNATURES = WHOLE.binary(), WHOLE.signatures()
FILES: dict[str, tuple[bytes, int]] = {
    "a bomb": (
        zipped({"export.bin": BINARY + bytes_field(99, bytes(5_000_000)), "export.sig": SIGNATURES}).getvalue(),
        2,
    ),
    "a bomb in export.sig": (zipped({"export.bin": BINARY, "export.sig": bytes(5_000_000)}).getvalue(), 2),
    "an overlap": (laid_out([Entry(b"export.bin", BINARY), Entry(b"export.sig", SIGNATURES)], at={1: 0}).getvalue(), 2),
    "a key of 32 bytes": (Handmade(keys=[key(bytes(16)), key(bytes(32))]).zip().getvalue(), 2),
    "a key of 52 bytes": (Handmade(keys=[key(bytes(52))]).zip().getvalue(), 2),
    "a period of 145": (Handmade(keys=[key(bytes(16), period=145)]).zip().getvalue(), 2),
    "no signature": (zipped({"export.bin": BINARY}).getvalue(), 1),
    "another signature": (Handmade(signers=[private_key(2)]).zip().getvalue(), 1),
    "no zip": (b"PK" + bytes(1_000), 2),
    "nothing": (b"", 2),
}
every_file = pytest.mark.parametrize(("body", "code"), FILES.values(), ids=FILES.keys())


def client(words: list[str]) -> int:
    return start("forewarn-client", "forewarn_client.cli", words)


def server(words: list[str]) -> int:
    return start("forewarn-server", "forewarn_server.cli", words)


def sightings(folder: Path) -> str:
    path = folder / "heard.jsonl"
    path.write_text(json.dumps({"rpi": "00" * 16, "aem": "00" * 4, "rssi": -60, "time": 1_620_000_000}) + "\n")
    return str(path)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what stands on stderr; stdout is empty."""
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    return told.err


@every_file
def test_a_hostile_export_matches_nothing_and_verifies_for_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: bytes, code: int
) -> None:
    hostile, good = tmp_path / "hostile.zip", tmp_path / "good.zip"
    hostile.write_bytes(body)
    good.write_bytes(WHOLE.zip().getvalue())
    match = ["match", "--sightings", sightings(tmp_path), "--public-key", RIGHT_KEY, "--json"]
    # Behind a good file, too: nothing is matched, then, of the good one either.
    for exports in ([hostile], [good, hostile]):
        named = [word for path in exports for word in ("--export", str(path))]
        assert client([*match, *named]) == code
        assert "hostile.zip" in one_line(capsys)
    assert server(["export", "verify", str(hostile), "--public-key", RIGHT_KEY]) == code
    assert one_line(capsys)
    # Positive control: the good file alone.
    assert client([*match, "--export", str(good)]) == 0
    assert server(["export", "verify", str(good), "--public-key", RIGHT_KEY]) == 0
    assert "verified" in capsys.readouterr().out


@every_file
def test_inspecting_a_hostile_export_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: bytes, code: int
) -> None:
    path = tmp_path / "hostile.zip"
    path.write_bytes(body)
    # A signature is not looked at here.
    assert server(["export", "inspect", str(path), "--json"]) == (2 if code == 2 else 0)
    assert capsys.readouterr().err.count("\n") == (code == 2)


@every_other_key
def test_what_is_no_public_key_on_p_256_is_refused_on_the_command_line_and_in_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(WHOLE.zip().getvalue())
    for main, command in (
        (client, ["match", "--sightings", sightings(tmp_path), "--export", str(export)]),
        (server, ["export", "verify", str(export)]),
    ):
        assert main([*command, "--public-key", key]) == 2
        assert not key or key not in one_line(capsys)
        capsys.readouterr()
        # Beside a right one, too: a slip must not pass because another key verifies.
        assert main([*command, "--public-key", RIGHT_KEY, "--public-key", key]) == 2
        capsys.readouterr()
    if key.split():
        with pytest.raises(BadSettings, match="public_key"):
            ClientSettings.load(data=tmp_path, public_key=(RIGHT_KEY, key))


def test_a_hostile_configuration_for_matching_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export, rules = tmp_path / "export.zip", tmp_path / "rules.json"
    export.write_bytes(WHOLE.zip().getvalue())
    command = ["match", "--sightings", sightings(tmp_path), "--export", str(export), "--public-key", RIGHT_KEY]
    for name, body in NO_FEED.items():
        rules.write_bytes(body)
        assert client([*command, "--configuration", str(rules)]) == 2, name
        assert "rules.json" in one_line(capsys), name


def test_a_hostile_sightings_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export, heard = tmp_path / "export.zip", tmp_path / "heard.jsonl"
    export.write_bytes(WHOLE.zip().getvalue())
    command = ["match", "--sightings", str(heard), "--export", str(export), "--public-key", RIGHT_KEY]
    lines = {**NO_FEED, "a line without end": b"x" * 3_000_000}
    del lines["nothing"]  # nobody was heard, which is no fault
    for name, body in lines.items():
        heard.write_bytes(body)
        assert client(command) == 2, name
        assert "heard.jsonl line 1" in one_line(capsys), name
