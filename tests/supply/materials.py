"""`make sbom`: the bill of materials of what a deployment installs, made and validated by cyclonedx-bom, checked here.

Installed is the wheel itself, with the extras of daemon and server, into an environment of its own.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.utils import canonicalize_name

from tests.supply.pins import CONSTRAINTS, PROJECT, ROOT, UNPINNED, differing, installed_for, pinned

EXTRAS = ("client", "postgres")
"""What a deployment installs: the daemon, and the server with its database's driver."""


def faults(bill: Mapping[str, Any], pins: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a bill of materials."""
    listed = {canonicalize_name(part["name"]): part["version"] for part in bill["components"]}
    found = differing({name: version for name, version in listed.items() if name not in UNPINNED}, pins)
    found += [f"{part['name']} has no package URL" for part in bill["components"] if "purl" not in part]
    found += [f"{name} is missing" for name in sorted(set(installed_for(PROJECT, EXTRAS)) - listed.keys())]
    if bill["metadata"]["component"]["name"] != PROJECT:
        found.append("it is the bill of something else")
    return found


def make(wheel: Path, out: Path) -> None:
    """Install the wheel into an environment of its own and write its bill of materials."""
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        wanted = f"{PROJECT}[{','.join(EXTRAS)}] @ {wheel.resolve().as_uri()}"
        quiet = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True, env=quiet)  # noqa: S603 - pip
        # What Python 3.11 puts into every new environment is no part of a deployment; the installer goes last.
        tools = ["uninstall", "--yes", "--quiet", "setuptools", "pip"]
        subprocess.run([python, "-m", "pip", *tools], check=True, env=quiet)  # noqa: S603 - pip
        described = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--validate", "-o", out]
        subprocess.run([sys.executable, "-m", "cyclonedx_py", "environment", *described, python], check=True)  # noqa: S603


def main() -> int:
    """Make the bill of the wheel named first, into the file named second."""
    wheel, out = Path(sys.argv[1]), Path(sys.argv[2])
    make(wheel, out)
    bill = json.loads(out.read_text())
    wrong = faults(bill, pinned(CONSTRAINTS.read_text()))
    for sentence in wrong:
        print(f"{out}: {sentence}")
    print(f"{out}: {len(bill['components'])} components, CycloneDX {bill['specVersion']}, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
