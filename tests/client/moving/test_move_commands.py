import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from forewarn_client import cli
from forewarn_client.config import SETTINGS_FILE
from forewarn_client.device import DATABASE_FILE, MOVED_FILE, Device
from forewarn_client.moving import leaving
from forewarn_shell import command_line
from forewarn_shell.clock import SystemClock
from tests.client.moving.diaries import CHEAP, settings_of, speak

Captured = pytest.CaptureFixture[str]
PHRASE = "con mèo ăn cá khô"


def call(*arguments: object) -> int:
    return command_line.run(cli.app, "forewarn-client", [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOREWARN_CLIENT_LANGUAGE", "en")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr(leaving.move_out, "__defaults__", (CHEAP,))

    async def live() -> None:
        async with Device.open(settings_of(tmp_path / "old"), SystemClock()) as device:
            await speak(device, range(2, -1, -1))

    asyncio.run(live())
    return tmp_path / "old"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "words").write_text(PHRASE + "\n")
    return tmp_path / "words"


class Keyboard:
    """A person at a terminal: answers a question, and types lines that are not shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: str, *lines: str) -> None:
        self.asked: list[str] = []
        self._lines = list(lines)
        typed = io.StringIO(answer)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", typed)
        monkeypatch.setattr("typer.prompt", self._type)

    def _type(self, prompt: str, *, hide_input: bool, **_: object) -> str:
        assert hide_input
        self.asked.append(prompt)
        return self._lines.pop(0)


def test_a_diary_goes_out_and_in_with_a_passphrase_from_a_file(
    data: Path, words: Path, tmp_path: Path, capsys: Captured
) -> None:
    file, new = tmp_path / "diary.move", tmp_path / "new"
    assert call("--data", data, "move", "out", file, "--passphrase-file", words, "--yes") == 0
    shown = capsys.readouterr()
    assert "Nothing is left on this device" in shown.out
    assert PHRASE not in shown.out + shown.err
    for command in (["status"], ["check"], ["run"], ["report", "12345678", "--yes"]):
        assert call("--data", data, *command) == 3
        assert capsys.readouterr().err == (
            f"forewarn-client: the diary of {data} has moved to another device: run 'erase' to start a new one here\n"
        )
    # Again with the same file: it is done. With another one: there is nothing to write.
    assert call("--data", data, "move", "out", file, "--yes") == 0
    assert call("--data", data, "move", "out", tmp_path / "other", "--yes") == 3
    wrong = tmp_path / "wrong"
    wrong.write_text("four words at all")
    assert call("--data", new, "move", "in", file, "--passphrase-file", wrong) == 1
    told = capsys.readouterr().err.splitlines()
    assert "passphrase is wrong" in told[-1]
    assert not new.exists()
    assert call("--data", new, "move", "in", file, "--passphrase-file", words) == 0
    assert "has arrived" in capsys.readouterr().out
    assert not file.exists()
    assert call("--data", new, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["running"] is False
    assert call("--data", new, "move", "in", file, "--passphrase-file", words) == 2
    assert "there is a diary in" in capsys.readouterr().err
    assert call("--data", data, "erase", "--yes") == 0
    assert list(data.iterdir()) == []


def test_the_person_agrees_and_types_the_passphrase_twice_unseen(
    data: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "diary.move"
    person = Keyboard(monkeypatch, "y\n", PHRASE, "Con  mèo ăn cá KHÔ")
    assert call("--data", data, "move", "out", file) == 0
    shown = capsys.readouterr().out
    assert "This device then destroys its keys" in shown
    assert len(person.asked) == 2
    person = Keyboard(monkeypatch, "", PHRASE)
    assert call("--data", tmp_path / "new", "move", "in", file) == 0
    assert len(person.asked) == 1


@pytest.mark.parametrize(
    ("answer", "lines", "code", "says"),
    [
        ("n\n", [], 1, "Nothing was moved"),
        ("", [], 1, "Nothing was moved"),
        ("y\n", ["four words are few"], 2, "the passphrase is too weak"),
        ("y\n", [PHRASE, "con mèo ăn cá kho"], 2, "the two passphrases differ"),
    ],
)
def test_without_a_yes_or_a_good_passphrase_nothing_moves(
    data: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    *,
    answer: str,
    lines: list[str],
    code: int,
    says: str,
) -> None:
    Keyboard(monkeypatch, answer, *lines)
    assert call("--data", data, "move", "out", tmp_path / "diary.move") == code
    shown = capsys.readouterr()
    assert says in shown.out + shown.err
    assert not (tmp_path / "diary.move").exists()
    assert (data / DATABASE_FILE).exists()
    assert not (data / MOVED_FILE).exists()


def test_a_script_is_told_what_to_give_instead_of_a_terminal(
    data: Path, words: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "diary.move"
    assert call("--data", data, "move", "out", file, "--passphrase-file", words) == 2
    assert "--yes" in capsys.readouterr().err
    assert call("--data", data, "move", "out", file, "--yes") == 2
    assert "--passphrase-file" in capsys.readouterr().err
    assert call("--data", tmp_path / "new", "move", "in", words) == 2
    assert "--passphrase-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["out", "FILE", "--passphrase-file", "nowhere", "--yes"], 2, "cannot be read"),
        (["out", "WORDS", "--passphrase-file", "WORDS", "--yes"], 2, "is not overwritten"),
        (["in", "FILE", "--passphrase-file", "WORDS"], 2, "there is a diary in"),
        (["out"], 2, "FILE"),
        (["away"], 2, "away"),
    ],
)
def test_bad_usage_is_one_line_and_nothing_moves(
    data: Path, words: Path, tmp_path: Path, capsys: Captured, *, arguments: list[str], code: int, says: str
) -> None:
    named = {"FILE": tmp_path / "diary.move", "WORDS": words}
    assert call("--data", data, "move", *(named.get(word, word) for word in arguments)) == code
    stderr = capsys.readouterr().err
    assert says in stderr
    assert stderr.count("\n") == 1
    assert (data / DATABASE_FILE).exists()


@pytest.mark.usefixtures("data")
def test_a_new_device_without_a_file_or_with_another_one_is_one_line(
    words: Path, tmp_path: Path, capsys: Captured
) -> None:
    new = tmp_path / "new"
    assert call("--data", new, "move", "in", tmp_path / "nothing", "--passphrase-file", words) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert call("--data", new, "move", "in", words, "--passphrase-file", words) == 2
    assert "no file of a moving diary" in capsys.readouterr().err
    assert call("--data", new, "move", "out", tmp_path / "file", "--passphrase-file", words, "--yes") == 3
    assert "there is no diary" in capsys.readouterr().err
    assert not new.exists()


def test_settings_come_along_and_a_file_that_cannot_be_deleted_is_said(
    data: Path, words: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, options = tmp_path / "diary.move", ("--data", data, "--server", "https://example.org")
    assert call(*options, "move", "out", file, "--passphrase-file", words, "--yes") == 0
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == file:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert call("--data", tmp_path / "new", "move", "in", file, "--passphrase-file", words) == 0
    assert "delete it yourself" in capsys.readouterr().out
    assert 'server = "https://example.org"' in (tmp_path / "new" / SETTINGS_FILE).read_text()


@pytest.mark.parametrize("command", ["out", "in"])
def test_each_has_help(capsys: Captured, command: str) -> None:
    assert call("move", command, "--help") == 0
    assert f"forewarn-client move {command}" in capsys.readouterr().out
