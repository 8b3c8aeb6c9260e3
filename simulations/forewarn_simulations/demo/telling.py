"""Tells the demo in the terminal: progress while it runs, then who was warned, who was not, and where to look."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from forewarn_simulations.demo.outcome import Moment, Outcome, PersonOutcome
from forewarn_simulations.demo.people import BUS
from forewarn_simulations.demo.times import local_time

USUAL_LENGTH_S: Final = 18.5 * 3600.0
"""Simulated time after which the last phone has usually judged; only the bar depends on it."""


class Teller:
    """The narrator of `story`: lines above a bar of the simulated day, all on stderr."""

    def __init__(self, progress: Progress, bar: TaskID) -> None:
        self._progress = progress
        self._bar = bar

    @classmethod
    @contextmanager
    def on(cls, console: Console) -> "Iterator[Teller]":
        """Show the bar for as long as the block runs; a console that is no terminal gets the lines alone."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            yield cls(progress, progress.add_task(f"{local_time(0):%H:%M}", total=USUAL_LENGTH_S))

    def reach(self, time_s: float) -> None:
        """Move the bar."""
        self._progress.update(self._bar, completed=time_s, description=f"{local_time(time_s):%H:%M}")

    def tell(self, moment: Moment) -> None:
        """Write one line of the story."""
        line = Table.grid(padding=(0, 2))
        line.add_column(style="dim", no_wrap=True, width=9)
        line.add_column(style="bold", no_wrap=True, width=13)
        line.add_column()
        line.add_row(f"{local_time(moment.time_s):%a %H:%M}", moment.title, moment.sentence)
        self._progress.console.print(line, highlight=False)


def tell_end(console: Console, outcome: Outcome, report: Path) -> None:
    """Write who was warned, who was not, what Bluetooth can't tell, and where the report is."""
    counted = [one for one in outcome.people if one.person.role.counted]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("warned", _names(one for one in counted if one.warned))
    table.add_row("not warned", _names(one for one in counted if not one.warned))
    table.add_row("can't tell", _names(outcome.unclear, say_result=True))
    console.print()
    console.print(table, highlight=False)
    console.print()
    if outcome.exact:
        sentence = f"Exact: all {len(outcome.contacts)} contacts were warned, and nobody else among the counted."
        console.print(sentence, style="bold green", highlight=False)
    else:
        missed, wrong = (_names(people) for people in (outcome.missed, outcome.false_alerts))
        console.print(f"Not exact: missed {missed}; wrongly warned {wrong}.", style="bold red", highlight=False)
    console.print(f"The whole story with pictures: {report} ({outcome.seconds:.1f} s)", highlight=False, soft_wrap=True)


def _names(people: Iterable[PersonOutcome], *, say_result: bool = False) -> str:
    told = []
    for one in people:
        where = [
            f"{'bus ' if meeting.place == BUS else ''}{meeting.distance_m:.1f} m for {meeting.minutes:.0f} min"
            for meeting in one.met
        ]
        if say_result:
            where.append("warned" if one.warned else "not warned")
        told.append(f"{one.person.name} ({', '.join(where)})")
    return "; ".join(told) or "nobody"
