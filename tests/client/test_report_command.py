import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from forewarn_client.cli import app
from forewarn_protocol.intervals import Interval, day_at, interval_at
from forewarn_shell.clock import SystemClock
from forewarn_shell.command_line import run
from tests.client.honest_server import HonestServer, serving
from tests.client.meetings import phone

CODE = "12345678"
CLOCK = SystemClock()


class Terminal(io.StringIO):
    """A person at a keyboard."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def server() -> AsyncIterator[HonestServer]:
    async with serving(CLOCK) as running:
        running.codes[CODE] = {}
        yield running


@pytest.fixture
async def data(server: HonestServer, tmp_path: Path) -> Path:
    """A phone that has spoken on three days."""
    now = interval_at(CLOCK.utc())
    async with phone(server, tmp_path / "data", CLOCK) as device:
        for days in (2, 1, 0):
            await device.keyring.next_identifier(Interval(now - 144 * days))
    return tmp_path / "data"


async def command(server: HonestServer, data: Path, *arguments: str, of: tuple[str, ...] = ("report",)) -> int:
    options = ("--data", str(data), "--server", server.url, "--public-key", server.public_key)
    # A command runs an event loop of its own; the test's one answers as the server.
    return await asyncio.to_thread(run, app, "forewarn-client", [*options, *of, *arguments])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    typed = Terminal()
    monkeypatch.setattr("sys.stdin", typed)
    return typed


@pytest.mark.parametrize("answer", ["c", "có", "Y", "yes"])
async def test_the_person_reads_what_is_sent_to_whom_and_agrees(
    server: HonestServer, data: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    terminal.write(f"{answer}\n")
    terminal.seek(0)
    assert await command(server, data, CODE) == 0
    shown = capsys.readouterr().out
    assert server.url in shown
    for days in (2, 1, 0):
        assert (day_at(CLOCK.utc()) - timedelta(days=days)).isoformat() in shown
    assert "không bao giờ rời khỏi thiết bị này" in shown
    assert "Đã gửi" in shown
    assert CODE not in shown
    assert len(server.stored_keys()) == 3


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "k\n", "perhaps\n"])
async def test_anything_but_a_yes_sends_nothing_and_exits_1(
    server: HonestServer, data: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    terminal.write(answer)
    terminal.seek(0)
    assert await command(server, data, CODE) == 1
    assert "Chưa công bố gì" in capsys.readouterr().out
    assert server.asked == []


@pytest.mark.parametrize(("typed", "code", "words"), [("c\nc\n", 0, "Đã rút lại"), ("c\nk\n", 1, "Chưa công bố gì")])
async def test_for_a_second_code_the_person_is_asked_twice(
    server: HonestServer,
    data: Path,
    terminal: Terminal,
    capsys: pytest.CaptureFixture[str],
    *,
    typed: str,
    code: int,
    words: str,
) -> None:
    server.codes |= {CODE: {"finding": "likely"}, "22222222": {"finding": "negative"}}
    assert await command(server, data, CODE, "--yes") == 0
    capsys.readouterr()
    terminal.write(typed)
    terminal.seek(0)
    assert await command(server, data, "22222222") == code
    shown = capsys.readouterr().out
    assert shown.index("Bạn sẽ được hỏi lại") < shown.index("xét nghiệm âm tính") < shown.index(words)
    assert "22222222" not in shown


async def test_without_a_terminal_and_without_yes_it_refuses_before_anything_is_sent(
    server: HonestServer, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert await command(server, data, CODE) == 2
    assert "--yes" in capsys.readouterr().err
    assert server.asked == []


async def test_a_script_agrees_with_yes_and_may_choose_the_language(
    server: HonestServer, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_LANGUAGE", "en")
    today = day_at(CLOCK.utc())
    onset, dropped = (today - timedelta(days=1)).isoformat(), today.isoformat()
    assert await command(server, data, "1234", "5678", "--onset", onset, "--drop-day", dropped, "--yes") == 0
    assert capsys.readouterr().out.startswith("Sent.")
    assert len(server.stored_keys()) == 2
    assert await command(server, data, CODE, "--yes") == 0
    assert "nothing was sent again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["1234567", "--yes"], 2),
        (["87654321", "--yes"], 1),
        ([CODE, "--onset", "yesterday", "--yes"], 2),
        ([CODE, "--onset", "2020-01-01", "--yes"], 2),
        ([CODE, "--drop-day", "2020-01-01", "--yes"], 2),
        (["--yes"], 2),
    ],
)
async def test_bad_input_is_one_line_with_its_exit_code_and_repeats_no_code(
    server: HonestServer,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    exit_code: int,
) -> None:
    assert await command(server, data, *arguments) == exit_code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not any(code in captured.err for code in (CODE, "87654321", "1234567"))
    assert server.stored_keys() == set()


async def test_an_unreachable_server_is_exit_3_and_nothing_is_lost(
    server: HonestServer, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.spoil("/v1/publish", lambda: None)
    assert await command(server, data, CODE, "--yes") == 3
    assert "không mất gì" in capsys.readouterr().err
    assert await command(server, data, CODE, "--yes") == 0


async def test_where_no_daemon_ever_ran_there_is_nothing_to_report(
    server: HonestServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command(server, tmp_path / "nowhere", CODE, "--yes") == 3
    assert "no diary" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
