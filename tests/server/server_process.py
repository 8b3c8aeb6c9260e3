"""`forewarn-server run` as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_process(data: Path, *arguments: str, **settings: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server of a data folder with these settings in its environment; give it and the first line it prints."""
    command = [sys.executable, "-c", "from forewarn_server.__main__ import main; main()", "run", "--data", str(data)]
    given = {f"FOREWARN_SERVER_{name.upper()}": str(value) for name, value in settings.items()}
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **given},
    ) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline()
        finally:
            process.kill()
