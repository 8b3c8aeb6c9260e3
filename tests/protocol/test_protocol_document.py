"""docs/protocol.md keeps its word: every rule has a reason, a consequence, and tests that exist."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "protocol.md"
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
NOT_YET = re.compile(r"\bnot yet: [a-z][\w ,']+")
RULE_ID = re.compile(r"[A-Z]\d+")


class Rule(NamedTuple):
    name: str
    rule: str
    reason: str
    violated: str
    test: str


def rules(text: str) -> list[Rule]:
    """Return the rows of all tables whose first cell is the name of a rule."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [Rule(*row) for row in rows if RULE_ID.fullmatch(row[0])]


def faults(text: str) -> list[str]:
    """Return what is wrong with a document of rules."""
    found = [f"{rule.name}: no {field}" for rule in rules(text) for field, cell in rule._asdict().items() if not cell]
    for rule in rules(text):
        named = NAMED_TEST.findall(rule.test)
        found += [f"{rule.name}: no such test {path}::{name}" for path, name in named if not exists(path, name)]
        if not named and not NOT_YET.search(rule.test):
            found.append(f"{rule.name}: neither a test nor the work that will bring one")
        left_over = NOT_YET.sub("", NAMED_TEST.sub("", rule.test))
        if "tests/" in left_over:
            found.append(f"{rule.name}: a test that is not named")
    return found


def exists(path: str, name: str) -> bool:
    file = ROOT / path
    return file.is_file() and re.search(rf"^ *(?:async )?def {name}\(", file.read_text(), re.MULTILINE) is not None


def test_every_rule_has_a_reason_a_consequence_and_tests_that_exist() -> None:
    assert faults(DOCUMENT.read_text()) == []


def test_there_is_a_rule_for_every_part_of_the_protocol() -> None:
    names = [rule.name for rule in rules(DOCUMENT.read_text())]
    assert len(names) == len(set(names))
    assert {name[0] for name in names} == set("KAMEFPVSCD")
    assert len(names) > 100


def test_every_one_of_the_15_attacks_is_answered_by_rules_that_exist() -> None:
    text = DOCUMENT.read_text()
    names = {rule.name for rule in rules(text)}
    answers = dict(re.findall(r"^\| (\d+) \|[^|]+\| ([^|]+) \|$", text, re.MULTILINE))
    assert sorted(map(int, answers)) == list(range(1, 16))
    assert not {name for answer in answers.values() for name in answer.split()} - names


GOOD = f"| K1 | rule | reason | worse | `{Path(__file__).relative_to(ROOT)}::test_a_faulty_row_is_found` |"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (GOOD.replace("_is_found", "_is_lost"), "no such test"),
        (GOOD.replace("test_protocol_document", "test_nowhere"), "no such test"),
        (GOOD.replace("| reason |", "| |"), "no reason"),
        (GOOD.replace("| worse |", "| |"), "no violated"),
        ("| K1 | rule | reason | worse | |", "no test"),
        ("| K1 | rule | reason | worse | later |", "neither a test"),
        (GOOD.removesuffix("|") + "`tests/server/test_later.py` |", "not named"),
    ],
)
def test_a_faulty_row_is_found(row: str, fault: str) -> None:
    """Positive control: the check fails for what is planted here, and not for a good row."""
    assert faults(GOOD) == []
    assert any(fault in found for found in faults(row)), faults(row)
