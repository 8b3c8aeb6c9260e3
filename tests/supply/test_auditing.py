"""The audit tells 'nothing known' from 'found' and from 'could not ask'."""

import json
import re
import subprocess
from collections.abc import Sequence

import pytest

from tests.supply import auditing
from tests.supply.auditing import CLEAN, FOUND, NOT_ASKED, Run
from tests.supply.pins import CONSTRAINTS, pinned

PINS = pinned(CONSTRAINTS.read_text())
SKIPPED = [{"name": name, "skip_reason": "Dependency not found and could not be audited"} for name in PINS]
ANSWERED = [{"name": name, "version": version, "vulns": []} for name, version in PINS.items()]
FAULT = {"id": "PYSEC-0000-1", "fix_versions": ["99.0"], "aliases": [], "description": "planted"}
FAULTY = [{**entry, "vulns": [FAULT]} if entry["name"] == "aiohttp" else entry for entry in ANSWERED]


def services(reports: dict[str, list[dict[str, object]] | None], *, pip_says: str = "", pip_code: int = 0) -> Run:
    """Answer as pip-audit and pip do; no report means that the service was out of reach."""

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if "pip_audit" not in command:
            return subprocess.CompletedProcess(command, pip_code, "", pip_says)
        report = reports[command[command.index("--vulnerability-service") + 1]]
        if report is None:
            return subprocess.CompletedProcess(command, 1, "", "ConnectionError")
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": report, "fixes": []}), "")

    return run


@pytest.mark.parametrize(
    ("pypi", "osv", "code", "words"),
    [
        (ANSWERED, None, CLEAN, "no known vulnerability"),
        (FAULTY, None, FOUND, "aiohttp .*PYSEC-0000-1, mended in 99.0"),
        (SKIPPED, ANSWERED, CLEAN, "no known vulnerability"),
        (SKIPPED, FAULTY, FOUND, "PYSEC-0000-1"),
        (SKIPPED, None, NOT_ASKED, f"NOT AUDITED: .* for {len(PINS)} distributions"),
        (None, None, NOT_ASKED, "NOT AUDITED"),
        (ANSWERED[:-1], None, NOT_ASKED, "for 1 distributions"),
        ([], [], NOT_ASKED, "NOT AUDITED"),
    ],
)
def test_silence_of_an_advisory_service_is_no_pass(
    pypi: list[dict[str, object]] | None,
    osv: list[dict[str, object]] | None,
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert auditing.main(services({"pypi": pypi, "osv": osv})) == code
    first, second = capsys.readouterr().out.splitlines()
    assert re.search(words, first)
    assert "none is withdrawn" in second


@pytest.mark.parametrize(
    ("says", "pip_code", "code"),
    [
        ("WARNING: The candidate selected for download or install is a yanked version: 'x'", 0, FOUND),
        ("ERROR: No matching distribution found for aiohttp==3.14.5", 1, NOT_ASKED),
        ("", 1, NOT_ASKED),
    ],
)
def test_a_withdrawn_release_is_found(says: str, pip_code: int, code: int) -> None:
    assert auditing.main(services({"pypi": ANSWERED}, pip_says=says, pip_code=pip_code)) == code
