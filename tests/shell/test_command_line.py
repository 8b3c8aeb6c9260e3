import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from forewarn_protocol.errors import BadSettings, Missing, NotVerified, Refused
from forewarn_shell.command_line import run, start


def app_that(act: Callable[[], object]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)

    @app.callback()
    def root() -> None:
        """Forewarn."""

    @app.command()
    def go(number: int = 1) -> object:
        assert number
        return act()

    return app


def leave(code: int) -> Callable[[], object]:
    def act() -> object:
        raise typer.Exit(code)

    return act


def fail(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "code", "says"),
    [
        (lambda: None, 0, ""),
        (leave(4), 4, ""),
        (fail(BadSettings("the port\nis 99999: give 0..65535")), 2, "the port is 99999: give 0..65535"),
        (fail(NotVerified("the signature does not verify")), 1, "the signature does not verify"),
        (fail(Refused("the code has expired: ask for a new one", "code_expired")), 1, "ask for a new one"),
        (fail(Missing("no Bluetooth adapter: plug one in")), 3, "plug one in"),
        (fail(ModuleNotFoundError("No module named 'x'", name="x")), 3, "forewarn[client]"),
        (fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "diary.db")), 3, "diary.db"),
        (fail(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))), 0, ""),  # `| head` has read enough
        (fail(BadSettings("\x1b[2J is no setting")), 2, "?[2J is no setting"),  # no terminal obeys a file's name
        (fail(KeyboardInterrupt()), 130, ""),  # who pressed Ctrl-C needs no sentence
        (fail(typer.Abort()), 130, "stopped"),
    ],
)
def test_each_error_is_one_line_and_its_exit_code(
    act: Callable[[], object], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app_that(act), "forewarn-client", ["go"]) == code
    stderr = capsys.readouterr().err
    assert says in stderr
    assert stderr.count("\n") == (1 if says else 0)


@pytest.mark.parametrize("arguments", [["go", "--number", "x"], ["go", "--nothing"], ["nothing"], [], ["go", "extra"]])
def test_bad_usage_is_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app_that(lambda: None), "forewarn-client", arguments) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("forewarn-client: ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_an_error_that_cannot_be_said_keeps_its_exit_code(redirect: str) -> None:
    script = (
        "import sys; from forewarn_shell.command_line import start; sys.exit(start('c', 'forewarn_client.cli', ['x']))"
    )
    ended = subprocess.run(["/bin/sh", "-c", f'"$0" -c "$1" {redirect}', sys.executable, script], check=False)  # noqa: S603
    assert ended.returncode == 2


def test_ctrl_c_during_the_imports_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "interrupted_app.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    assert start("forewarn-client", "interrupted_app", []) == 130


def test_a_programming_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(app_that(lambda: 1 // 0), "forewarn-client", ["go"])


@pytest.mark.parametrize(
    ("name", "module", "missing", "extra"),
    [
        ("forewarn-client", "forewarn_client.cli", "aiohttp", "client"),
        ("forewarn-server", "forewarn_server.cli", "structlog", "server"),
    ],
)
def test_a_command_without_its_extra_says_which_to_install(name: str, module: str, missing: str, extra: str) -> None:
    """In a process of its own, where the module is really not to be had, at import time."""
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from forewarn_shell.command_line import start\n"
        f"sys.exit(start({name!r}, {module!r}, ['--help']))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr == f"{name}: the module {missing} is not installed: run pip install 'forewarn[{extra}]'\n"


def test_a_module_of_our_own_that_is_missing_is_a_defect_and_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        start("forewarn-client", "forewarn_client.nothing", [])
