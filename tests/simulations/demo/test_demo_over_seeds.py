"""The bar of the demo: over 30 seeds, nearly every counted person gets the right answer from nothing but radio."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SEEDS = range(1, 31)
COMMAND = "import sys; from forewarn_simulations.__main__ import main; sys.argv[0] = 'forewarn-sim'; main()"


def run(seed: int, folder: Path) -> dict[str, float]:
    arguments = ["demo", "--seed", str(seed), "--out", str(folder / str(seed)), "--json"]
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", COMMAND, *arguments], capture_output=True, check=False, text=True, timeout=300
    )
    assert done.returncode in {0, 1}, done.stderr
    figures = json.loads(done.stdout)
    assert done.returncode == (0 if figures["missed"] == figures["false_alerts"] == 0 else 1)
    assert (folder / str(seed) / "report.html").stat().st_size > 50_000
    return figures


@pytest.mark.slow
def test_over_30_seeds_at_least_24_are_exact_and_at_most_8_people_are_missed_or_wrongly_warned(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        runs = list(pool.map(lambda seed: run(seed, tmp_path), SEEDS))
    exact = sum(figures["missed"] == figures["false_alerts"] == 0 for figures in runs)
    people = sum(int(figures["missed"] + figures["false_alerts"]) for figures in runs)
    longest_s = max(figures["seconds"] for figures in runs)
    figure(f"demo over {len(runs)} seeds: {exact} exact (bar 24), {people} people wrong in all (bar 8)")
    figure(f"demo: {longest_s:.1f} s in the slowest of {len(runs)} runs, beside the other tests (bar 30 s, alone)")
    assert all(figures["true_contacts"] >= 4 for figures in runs)
    assert exact >= 24
    assert people <= 8
