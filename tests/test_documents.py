"""Documents stay true: sizes, links, named tests, settings, commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_settings import BaseSettings

import forewarn_client.cli
import forewarn_server.cli
import forewarn_simulations.cli
from forewarn_client.config import ClientSettings
from forewarn_server.config import ServerSettings

PROGRAMS = {
    "forewarn-client": forewarn_client.cli.app,
    "forewarn-server": forewarn_server.cli.app,
    "forewarn-sim": forewarn_simulations.cli.app,
}
ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED_TEST = re.compile(r"`?(tests/[\w/]+\.py)::(\w+)`?")
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(
    r"^(?:\$ )?(?:sudo (?:-u \w+ )?)?(?:\.venv/bin/|/opt/forewarn/bin/)?(forewarn-(?:client|server|sim)\b.*)$",
    re.MULTILINE,
)


def missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and no file holds."""
    return [
        f"{path}::{name}"
        for path, name in NAMED_TEST.findall(text)
        if not (ROOT / path).is_file() or f"def {name}(" not in (ROOT / path).read_text()
    ]


def shown_commands(text: str) -> list[list[str]]:
    """Return the Forewarn commands in a text's fenced blocks, without what the shell adds."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced if language in {"", "sh", "console"}]
    lines = [line for block in blocks for line in COMMAND.findall(block.replace("\\\n", " "))]
    return [shlex.split(re.split(r"\s+[>|&#]", line)[0]) for line in lines]


def test_the_readme_is_at_most_150_lines() -> None:
    assert 20 < (ROOT / "README.md").read_text().count("\n") <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert not [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    assert not missing_tests(document.read_text())


def test_a_document_that_names_a_test_nobody_wrote_is_found() -> None:
    """Positive control for the check above."""
    assert missing_tests("see `tests/test_documents.py::test_nobody_wrote_this`")
    assert missing_tests("see tests/nowhere.py::test_every_link_in_a_document_leads_somewhere")


@pytest.mark.parametrize("settings", [ClientSettings, ServerSettings])
def test_the_configuration_document_lists_every_setting_with_default_and_meaning(settings: type[BaseSettings]) -> None:
    document = (ROOT / "docs" / "configuration.md").read_text()
    rows = []
    for name, field in settings.model_fields.items():
        default = "" if field.is_required() or field.default_factory else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    missing = [row for row in rows if row not in document]
    assert not missing, "docs/configuration.md lacks:\n" + "\n".join(missing)


def fault_rows(text: str) -> list[list[str]]:
    """Return the rows of the tables of faults: fault, what is seen, lost, what to do, tests."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| fault", "| ---"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_fault_says_what_is_seen_what_is_lost_what_to_do_and_which_test_makes_it() -> None:
    rows = fault_rows((ROOT / "docs" / "faults.md").read_text())
    assert len(rows) > 20
    assert not [row[0] for row in rows if len(row) != 5 or not all(row) or not NAMED_TEST.search(row[-1])]
    assert fault_rows("| a fault | seen | | nothing | test |") == [["a fault", "seen", "", "nothing", "test"]]


def attacks_without_a_test(text: str) -> list[int]:
    """Return the known attacks, 1 to 15, whose row of the table names no test that shows what stands today."""
    rows = re.findall(r"^\| (\d+) \|[^|]+\|([^|]+)\|[^|]+\|$", text, re.MULTILINE)
    named = {int(number) for number, today in rows if NAMED_TEST.search(today)}
    return sorted(set(range(1, 16)) - named)


def test_every_known_attack_has_a_test_or_a_measured_limit() -> None:
    text = (ROOT / "docs" / "threats.md").read_text()
    assert not attacks_without_a_test(text)
    # Positive control: a row that promises and names nothing.
    assert attacks_without_a_test(re.sub(r"^\| 7 \|.*$", "| 7 | guesses | quotas | - |", text, flags=re.MULTILINE)) == [
        7
    ]


def all_commands() -> list[tuple[str, list[str]]]:
    return [(path.name, command) for path in DOCUMENTS for command in shown_commands(path.read_text())]


def unknown_words(command: list[str]) -> list[str]:
    """Return the subcommands and options of a command line that the program does not have."""
    group: Any = typer.main.get_command(PROGRAMS[command[0]])
    options = {option for parameter in group.params for option in parameter.opts}
    strange = []
    for word in command[1:]:
        if word.startswith("--"):
            strange += [] if word.split("=")[0] in options else [word]
        elif word in getattr(group, "commands", {}):
            group = group.commands[word]
            options |= {option for parameter in group.params for option in parameter.opts}
    return strange if not hasattr(group, "commands") else [*strange, "no command"]


@pytest.mark.parametrize("command", [command for _, command in all_commands()], ids=" ".join)
def test_every_command_shown_in_a_document_exists_with_its_options(command: list[str]) -> None:
    assert not unknown_words(command)


def test_a_shown_command_that_does_not_exist_is_found() -> None:
    """Positive control for the check above."""
    assert unknown_words(["forewarn-client", "--date", "DIR", "status"]) == ["--date"]
    assert unknown_words(["forewarn-server", "codes", "issue"]) == ["no command"]
    assert unknown_words(["forewarn-client", "status", "--server", "URL"]) == []
    # A block of settings before it hides none.
    after_settings = (
        "```toml\na = 1\n```\n\n```console\n$ sudo -u forewarn /opt/forewarn/bin/forewarn-client look\n```\n"
    )
    assert shown_commands(after_settings) == [["forewarn-client", "look"]]


def demo_output() -> str:
    """Return what the README shows of `make demo`."""
    found = re.search(r"```console\n\$ make demo\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def without_what_differs(text: str, folder: str) -> list[str]:
    """Return the lines without trailing blanks, and without the port, the seconds and the folder of one run."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text.replace(folder, "FOLDER"))
    text = re.sub(r"\(\d+\.\d s\)", "(SECONDS)", text)
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.slow
def test_the_readme_shows_the_demos_true_output(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "forewarn_simulations", "demo", "--seed", "1", "--out", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )
    shown = demo_output().replace(" demo/report.html", f" {folder}/report.html")
    # Joined, because the last line breaks where the folder's name makes it too long.
    assert " ".join(without_what_differs(ran.stdout, str(folder))) == " ".join(without_what_differs(shown, str(folder)))
