"""`make wheel`: the same commit makes the same wheel, byte for byte, wherever and whenever it is built."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.supply.pins import ROOT


def build(tree: Path, out: Path, epoch_s: int) -> Path:
    """Build the wheel of a source tree; `epoch_s` is the date that the files in it get."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)}
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out.resolve())]
    subprocess.run(command, check=True, capture_output=True, cwd=tree, env=environment)  # noqa: S603 - our own build
    (wheel,) = out.glob("*.whl")
    return wheel


def date_of_commit() -> int:
    """Return when the present commit was made, in Unix seconds."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 - git


def names_in(wheel: Path) -> set[str]:
    """Return the files in a wheel but for its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def main() -> int:
    """Build into dist/, which may hold an older wheel."""
    out = ROOT / "dist"
    for old in out.glob("*.whl"):
        old.unlink()
    print(build(ROOT, out, date_of_commit()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
