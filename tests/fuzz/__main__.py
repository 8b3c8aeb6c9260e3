"""`make fuzz`: attacks each parser for a while in a process of its own; a finding is saved, said, and exit code 1.

First a parser with a planted fault is attacked. Where that is not found, nothing that follows would mean anything.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import CORPUS, FOUND, PARSERS, PLANTED, load

# The longest that one input may take, seconds, and the most memory of the process: a parser that needs more is found.
INPUT_S = 20
MEMORY_MB = 512
PLANTED_S = 60
# libFuzzer's own exit codes: a finding, and a check that took too long or too much memory.
_FINDINGS = frozenset({70, 71, 77})


def attack(name: str, seconds: int, found_in: Path, seeds: Path | None) -> subprocess.CompletedProcess[str]:
    """Run one attack to its end; `found_in` gets what is found."""
    target = load(name)
    with tempfile.TemporaryDirectory() as folder:
        words, work = Path(folder, "words"), Path(folder, "corpus")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        work.mkdir()
        options = {
            "max_total_time": seconds,
            "timeout": INPUT_S,
            "rss_limit_mb": MEMORY_MB,
            "max_len": target.maximum_bytes,
            "dict": words,
            "artifact_prefix": f"{found_in}/{FOUND}",
            "print_final_stats": 1,
            "verbosity": 0,
        }
        command = [sys.executable, "-m", "tests.fuzz.child", name]
        command += [f"-{option}={value}" for option, value in options.items()]
        command += [str(path) for path in (work, seeds) if path is not None]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - our own module


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def statistics(output: str) -> str:
    """Return what libFuzzer says of itself at the end."""
    numbers = dict(re.findall(r"^stat::(\w+):\s+(\d+)", output, re.MULTILINE))
    inputs, peak_mb = numbers.get("number_of_executed_units", "?"), numbers.get("peak_rss_mb", "?")
    return f"{inputs} inputs, {peak_mb} MB at the peak"


def sees_a_planted_fault() -> bool:
    """Attack the parser with a fault in it."""
    with tempfile.TemporaryDirectory() as folder:
        result = attack(PLANTED, PLANTED_S, Path(folder), None)
        found = [*Path(folder).glob(f"{FOUND}crash-*")]
    return result.returncode in _FINDINGS and "IndexError" in result.stdout + result.stderr and bool(found)


def search(parser: str, seconds: int) -> bool:
    """Attack one parser, say how it went, and tell whether nothing was found."""
    corpus = CORPUS / parser
    result = attack(parser, seconds, corpus, corpus)
    output = result.stdout + result.stderr
    if result.returncode == 0:
        print(f"{parser}: nothing found in {seconds} s; {statistics(output)}", flush=True)
        return True
    print(
        f"{output[-6000:]}\n{parser}: FOUND, saved in {corpus} as {FOUND}*: mend the parser and keep the file",
        flush=True,
    )
    return False


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("parsers", nargs="*", metavar="PARSER", help=f"of {', '.join(PARSERS)}; none: all")
    arguments.add_argument("--seconds", type=int, default=600, help="for each parser")
    arguments.add_argument("--lanes", type=int, default=1, help="how many are attacked at a time")
    given = arguments.parse_args()
    if unknown := set(given.parsers) - set(PARSERS):
        arguments.error(f"no parser is called {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print("the fuzzer is not installed: run make fuzz, on Linux on x86-64 with Python 3.11 to 3.13")
        return 3
    if not sees_a_planted_fault():
        print("the planted fault was NOT found: the fuzzer sees nothing")
        return 1
    print("the planted fault was found", flush=True)
    with ThreadPoolExecutor(given.lanes) as lanes:
        clean = list(lanes.map(lambda parser: search(parser, given.seconds), given.parsers or PARSERS))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
