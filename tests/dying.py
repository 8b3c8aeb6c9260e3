"""Does something in a process that is killed before one of its steps on files."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

_STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "sqlite3.connect"}


def dies(act: Callable[[], object], folder: Path, at: int) -> bool:
    """Do something in a process that is killed before its step number `at` under a folder; False: it came through."""
    child = os.fork()
    if not child:
        left = at

        def count(event: str, given: tuple[object, ...]) -> None:
            nonlocal left
            if event in _STEPS and str(folder) in f"{given}":
                left -= 1
                if left == 0:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            act()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}
    return code == 9
