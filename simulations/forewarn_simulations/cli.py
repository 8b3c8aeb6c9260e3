"""The command `forewarn-sim`: virtual phones and a real server, and what both cost."""

from pathlib import Path
from typing import Annotated

import typer

from forewarn_shell import command_line

app = typer.Typer(
    help="Forewarn's simulations: the real client and server in simulated time and air.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def simulations() -> None:
    """Run Forewarn's simulations: the real client and server in simulated time and air."""


@app.command()
def demo(
    phones: Annotated[int, typer.Option(help="Virtual phones, 12 to 36.")] = 16,
    seed: Annotated[int, typer.Option(help="Draws layout, bodies, handsets and radio noise.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for report.html; may exist.")] = Path("demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
) -> None:
    """Run one lunch, one bus ride, one positive test, and every alert; write a report with pictures.

    Exit 0 if nobody among the counted was missed or wrongly warned, else 1. JSON: phones, seed, true_contacts, alerts
    (of the counted), missed, false_alerts, borderline (people whom Bluetooth can't tell, never counted),
    borderline_alerts, seconds, report.
    """
    # Here, so that --help needs no more than the core, and a missing extra is told in one line.
    from forewarn_simulations.demo.running import run_demo  # noqa: PLC0415 - as said above

    if not run_demo(phones, seed, out, as_json=as_json):
        raise typer.Exit(command_line.EXIT_NO)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="What to measure: daemon.", metavar="NAME")],
    quick: Annotated[bool, typer.Option("--quick", help="Least sizes: shows that it works, not how fast.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
) -> None:
    """Measure what a part of Forewarn costs on this machine; daemon takes about two minutes.

    Exit 0 if every bar is kept, else 1. JSON: name, machine, figures, bars (name, value, bar, ok).
    """
    from forewarn_simulations.bench.running import run_bench  # noqa: PLC0415 - as above

    if not run_bench(name, quick=quick, as_json=as_json):
        raise typer.Exit(command_line.EXIT_NO)
