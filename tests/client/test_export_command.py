import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from forewarn_protocol.sealed_uploads import SEALED_BYTES, SealedUpload, upload_key_to_base64
from tests.client.honest_server import HonestServer
from tests.client.test_report_command import CODE, Terminal, command, data, server, terminal

__all__ = ["data", "server", "terminal"]

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))


async def export(server: HonestServer, data: Path, *arguments: str) -> int:
    return await command(server, data, *arguments, of=("keys", "export"))


@pytest.fixture(autouse=True)
def _takes_uploads(server: HonestServer) -> None:
    server.sequence += 1
    server.put_feeds(upload_key=upload_key_to_base64(KEY.public_key()))


async def test_the_person_reads_where_the_keys_go_and_agrees(
    server: HonestServer, data: Path, tmp_path: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.write("c\n")
    terminal.seek(0)
    out = tmp_path / "keys.sealed"
    assert await export(server, data, "--code", CODE, "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert f"sẽ được ghi vào {out}" in shown
    assert "chỉ máy chủ mở được tệp này" in shown
    assert "Đã niêm phong" in shown
    assert CODE not in shown
    assert (out.stat().st_mode & 0o777, out.stat().st_size) == (0o600, SEALED_BYTES)
    upload = SealedUpload.open(out.read_bytes(), [KEY], "vn")
    assert upload.token == f"token-of-{CODE}"
    assert len(upload.request("a certificate").keys) == 3
    assert not {"/api/certificate", "/v1/publish"} & set(server.asked)


async def test_without_consent_nothing_is_asked_and_no_file_is_made(
    server: HonestServer, data: Path, tmp_path: Path, terminal: Terminal
) -> None:
    terminal.write("k\n")
    terminal.seek(0)
    assert await export(server, data, "--code", CODE, "--out", str(tmp_path / "file")) == 1
    assert server.asked == []
    assert not (tmp_path / "file").exists()


async def test_a_server_that_takes_no_sealed_uploads_is_told_and_the_code_still_reports(
    server: HonestServer, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.sequence += 1
    server.put_feeds()
    assert await export(server, data, "--code", CODE, "--out", str(tmp_path / "file"), "--yes") == 3
    assert "'report'" in capsys.readouterr().err
    assert not (tmp_path / "file").exists()
    assert await command(server, data, CODE, "--yes") == 0


async def test_a_file_that_is_there_or_cannot_be_made_is_one_line_and_costs_no_code(
    server: HonestServer,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (tmp_path / "there").write_bytes(b"holiday pictures")
    assert await export(server, data, "--code", CODE, "--out", str(tmp_path / "there"), "--yes") == 2
    assert server.asked == []
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "file")
    for out in ("nowhere/file", "dangling"):
        assert await export(server, data, "--code", CODE, "--out", str(tmp_path / out), "--yes") == (
            3 if out == "nowhere/file" else 2
        )
    assert await export(server, data, "--code", CODE, "--out", str(tmp_path / "file")) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 4
    assert (tmp_path / "there").read_bytes() == b"holiday pictures"
    assert await export(server, data, "--code", "1234 5678", "--out", str(tmp_path / "file"), "--yes") == 0
    assert SealedUpload.open((tmp_path / "file").read_bytes(), [KEY], "vn")
