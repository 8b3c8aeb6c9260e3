"""Every version is the pinned one, and nothing is pinned that nobody needs."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.supply.pins import CONSTRAINTS, PROJECT, ROOT, UNPINNED, differing, installed_for, pinned

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = pinned(CONSTRAINTS.read_text())


def test_constraints_are_exact_pins_without_addresses() -> None:
    assert len(PINS) > 50


@pytest.mark.parametrize(
    "text",
    [
        "aiohttp>=3.12",
        "aiohttp",
        "aiohttp==3.*",
        "aiohttp @ https://example.org/a.whl",
        "--index-url https://example.org",
        "aiohttp==3.14.5 ; python_version < '3.12'",
        "aiohttp==3.14.5\nAIOHTTP==3.14.5",
        "# a comment",
    ],
)
def test_a_line_that_is_no_exact_pin_is_found(text: str) -> None:
    """Positive control for the check above."""
    with pytest.raises(ValueError, match="pin"):
        pinned(text)


def test_what_is_installed_here_for_the_project_is_what_is_pinned() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    installed = installed_for(PROJECT, extras)
    assert {"aiohttp", "cryptography", "protobuf", "pydantic-core", "pytest"} <= installed.keys()
    assert not differing(installed, PINS)


def test_a_distribution_that_is_unpinned_or_pinned_otherwise_is_found() -> None:
    """Positive control for the check above."""
    installed = installed_for(PROJECT, ["client"])
    aiohttp = PINS["aiohttp"]
    less = {name: version for name, version in PINS.items() if name != "aiohttp"}
    assert differing(installed, less) == [f"aiohttp {aiohttp} is installed, nothing is pinned"]
    assert differing(installed, PINS | {"aiohttp": "1.0"}) == [f"aiohttp {aiohttp} is installed, 1.0 is pinned"]


@pytest.mark.slow
def test_all_extras_and_the_build_need_exactly_what_is_pinned(tmp_path: Path) -> None:
    """Asks the package registry for a set-up of everything, without installing it."""
    report = tmp_path / "report.json"
    extras = ",".join(PYPROJECT["project"]["optional-dependencies"])
    # hatchling asks for the last when it builds an editable installation.
    build = [*PYPROJECT["build-system"]["requires"], "editables"]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report]
    subprocess.run(  # noqa: S603 - pip
        [*command, "--editable", f"{ROOT}[{extras}]", *build],
        check=True,
        timeout=900,
        env={**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    chosen = json.loads(report.read_text())["install"]
    needed = {canonicalize_name(each["metadata"]["name"]) for each in chosen} - UNPINNED
    assert needed - PINS.keys() == set(), "needed, but not pinned"
    assert PINS.keys() - needed == set(), "pinned, but needed by nothing"
