"""The command `bench`: find the benchmark of a name, run it, print its figures."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from forewarn_protocol.errors import BadInput
from forewarn_simulations.bench import daemon
from forewarn_simulations.bench.outcome import Outcome, machine

BENCHES: Final[Mapping[str, Callable[[bool], Outcome]]] = {"daemon": daemon.measure}
"""Each is told whether to be quick: least sizes, for a look at whether it works."""


def run_bench(name: str, *, quick: bool, as_json: bool) -> bool:
    """Run a benchmark, print what it found, and return whether every bar is kept.

    Raises:
        BadInput: there is no benchmark of this name.
    """
    measure = BENCHES.get(name)
    if measure is None:
        raise BadInput(f"there is no benchmark {name}: give one of {', '.join(sorted(BENCHES))}")
    outcome = measure(quick)
    if as_json:
        print(json.dumps(outcome.as_json()))  # noqa: T201 - the command's output
    else:
        _show(outcome)
    return outcome.ok


def _show(outcome: Outcome) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column(outcome.name, no_wrap=True)
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("bar", justify="right", no_wrap=True)
    table.add_column("")
    bars = {bar.name: bar for bar in outcome.bars}
    for name, value in outcome.figures.items():
        bar = bars.get(name)
        kept = ("", "") if bar is None else (f"< {bar.bar:g}", "kept" if bar.ok else "MISSED")
        table.add_row(name, f"{value:,.1f}", *kept)
    console.print(table, highlight=False)
    console.print(machine(), highlight=False, soft_wrap=True)
