"""`make audit`: known vulnerabilities of what is pinned, and withdrawn releases. Silence of a service is no pass.

Exit 0: asked, and nothing is known. 1: something was found. 3: nobody could be asked about all of it.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.supply.pins import CONSTRAINTS, pinned

SERVICES = ("pypi", "osv")
CLEAN, FOUND, NOT_ASKED = 0, 1, 3

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: vulnerabilities in words, and which distributions it did not answer for."""

    vulnerabilities: tuple[str, ...]
    unanswered: frozenset[str]


def read_answer(report: str, pins: frozenset[str]) -> Answer:
    """Read pip-audit's JSON; whatever of the pins it does not mention, or skipped, is unanswered."""
    try:
        entries: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Answer((), pins)  # it ended before it had a report
    answered = {entry["name"] for entry in entries if "vulns" in entry}
    found = tuple(_in_words(entry, fault) for entry in entries for fault in entry.get("vulns", ()))
    return Answer(found, pins - answered)


def _in_words(entry: dict[str, Any], fault: dict[str, Any]) -> str:
    mended = ", ".join(fault["fix_versions"]) or "no release yet"
    return f"{entry['name']} {entry['version']}: {fault['id']}, mended in {mended}"


def verdict(answers: Sequence[Answer]) -> tuple[int, str]:
    """Return the exit code and one line for the answers of all services that were asked."""
    found = sorted({fault for answer in answers for fault in answer.vulnerabilities})
    if found:
        return FOUND, f"FOUND {len(found)} known vulnerabilities: " + "; ".join(found)
    unanswered = frozenset[str].intersection(*(answer.unanswered for answer in answers))
    if unanswered:
        return NOT_ASKED, (
            f"NOT AUDITED: no advisory service answered for {len(unanswered)} distributions ({_some(unanswered)}): "
            "run make audit where the network reaches one"
        )
    return CLEAN, "no known vulnerability in what is pinned"


def _some(names: frozenset[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")


def ask(service: str, pins: frozenset[str], run: Run) -> Answer:
    """Ask one advisory service about all pins."""
    options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--vulnerability-service", service]
    return read_answer(run([*command, *options]).stdout, pins)


def withdrawn(run: Run) -> tuple[int, str]:
    """Ask the package registry whether it still offers each pin, and has withdrawn none."""
    with TemporaryDirectory() as folder:
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", str(Path(folder, "report"))]
        result = run([sys.executable, "-m", "pip", "install", *options, "--requirement", str(CONSTRAINTS)])
    yanked = [line for line in result.stderr.splitlines() if "yanked version" in line]
    if yanked:
        return FOUND, f"FOUND {len(yanked)} withdrawn releases: " + "; ".join(yanked)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        return NOT_ASKED, f"NOT CHECKED for withdrawn releases: {last}"
    return CLEAN, "every pin is offered by the package registry, and none is withdrawn"


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)  # noqa: S603 - our own commands


def main(run: Run = _run) -> int:
    """Ask everybody, print a line for each question, and return the worst answer."""
    pins = frozenset(pinned(CONSTRAINTS.read_text()))
    answers: list[Answer] = []
    for service in SERVICES:
        answers.append(ask(service, pins, run))
        if not answers[-1].unanswered:
            break
    outcomes = [verdict(answers), withdrawn(run)]
    for _, sentence in outcomes:
        print(sentence)
    codes = {code for code, _ in outcomes}
    return next(code for code in (FOUND, NOT_ASKED, CLEAN) if code in codes)


if __name__ == "__main__":
    sys.exit(main())
