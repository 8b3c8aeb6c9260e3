"""A piece of code in a process of its own, and how much memory it took at its peak."""

import subprocess
import sys

# VmHWM belongs to the new program; ru_maxrss would still hold what the parent had before the exec.
_PROLOGUE = """
import re, sys
from pathlib import Path
def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
_EPILOGUE = """
print(peak_kb() - before)
"""


def run_measured(preparation: str, work: str, *arguments: str) -> tuple[str, float]:
    """Return what the work prints, and the megabytes that it took beyond its preparation."""
    code = f"{_PROLOGUE}{preparation}\nbefore = peak_kb()\n{work}{_EPILOGUE}"
    ran = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    *said, more_kb = ran.stdout.splitlines()
    return "\n".join(said), int(more_kb) / 1024
