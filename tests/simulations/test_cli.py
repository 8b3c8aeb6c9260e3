import json
import sys
from pathlib import Path

import pytest

from forewarn_shell import command_line
from forewarn_simulations.cli import app


def sim(*arguments: str) -> int:
    return command_line.run(app, "forewarn-sim", arguments)


def test_the_demo_prints_only_json_on_stdout_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "there" / "already"
    out.mkdir(parents=True)
    (out / "report.html").write_text("old")
    code = sim("demo", "--phones", "12", "--seed", "1", "--out", str(out), "--json")
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert {"phones", "seed", "true_contacts", "alerts", "missed", "false_alerts", "borderline", "seconds"} <= set(
        figures
    )
    assert (figures["phones"], figures["seed"]) == (12, 1)
    assert code == (0 if figures["missed"] == figures["false_alerts"] == 0 else 1)
    assert "One lunch" in Path(figures["report"]).read_text(encoding="utf-8")
    assert "Positive test" in said.err
    assert (out / "demo.log").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--phones", "11"),
        ("--phones", "-3"),
        ("--phones", "1000000000000"),
        ("--phones", "many"),
        ("--seed", "one"),
        ("--no-such-option",),
        ("and-another-thing",),
    ],
)
def test_bad_use_of_the_demo_is_one_line_and_exit_2(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sim("demo", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_is_a_file_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert sim("demo", "--out", str(file)) == 2
    assert "give --out a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_missing_extra_is_told_in_one_line_with_exit_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("forewarn_simulations.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert sim("demo") == 3
    assert capsys.readouterr().err == (
        "forewarn-sim: the module rich.console is not installed: run pip install 'forewarn[simulations]'\n"
    )


def test_help_needs_no_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("numpy", "matplotlib", "rich", "jinja2", "aiohttp"):
        monkeypatch.setitem(sys.modules, name, None)
    assert sim("demo", "--help") == 0
    assert "--phones" in capsys.readouterr().out
