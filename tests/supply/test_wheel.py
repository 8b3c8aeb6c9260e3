"""The wheel is reproducible, and holds every file of the five packages and nothing else."""

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.supply.pins import ROOT
from tests.supply.wheel import build, names_in

PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]
EPOCH_S = 1_700_000_000


def tracked(folders: list[str]) -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *folders]
    listed = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - git
    return [name for name in listed.decode().split("\0") if name]


def tree(folder: Path, *, changed_s: int, mode: int) -> Path:
    """Lay the tracked files out as another checkout would: other modes, other times."""
    for name in tracked([*PACKAGES, "pyproject.toml", "README.md", ".gitignore"]):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(mode)
        os.utime(target, (changed_s, changed_s))
    (folder / "protocol" / "forewarn_protocol" / "__pycache__").mkdir()
    (folder / "protocol" / "forewarn_protocol" / "__pycache__" / "left.pyc").write_bytes(b"left over")
    return folder


@pytest.mark.slow
def test_two_builds_in_different_places_times_and_modes_are_the_same_to_the_byte(tmp_path: Path) -> None:
    digests = []
    for number, (changed_s, mode) in enumerate([(1_000_000_000, 0o600), (1_650_000_000, 0o644)]):
        old_mask = os.umask(0o077 if number else 0o000)
        try:
            source = tree(tmp_path / f"checkout-{number}" / ("deeper" * number), changed_s=changed_s, mode=mode)
            wheel = build(source, tmp_path / f"out-{number}", EPOCH_S)
        finally:
            os.umask(old_mask)
        digests.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    # Positive control: another date of the commit makes another wheel, so the comparison sees the dates.
    later = build(source, tmp_path / "later", EPOCH_S + 86_400)
    assert hashlib.sha256(later.read_bytes()).hexdigest() != digests[0]


@pytest.mark.slow
def test_the_wheel_holds_what_is_tracked_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    source = tree(tmp_path / "checkout", changed_s=1_650_000_000, mode=0o644)
    names = names_in(build(source, tmp_path / "out", EPOCH_S))
    assert names == {name.partition("/")[2] for name in tracked(PACKAGES)}
    for wanted in (
        "forewarn_protocol/__init__.py",
        "forewarn_shell/__init__.py",
        "forewarn_client/__main__.py",
        "forewarn_server/advice/texts/vn.json",
        "forewarn_server/store/migrations/exposure/versions/0001_first.py",
        "forewarn_simulations/demo/templates/report.html.jinja",
    ):
        assert wanted in names
    # Positive control: a file that is no part of the package is noticed.
    (source / "client" / "forewarn_client" / "secret.txt").write_text("left by an editor")
    assert names_in(build(source, tmp_path / "again", EPOCH_S)) - names == {"forewarn_client/secret.txt"}
