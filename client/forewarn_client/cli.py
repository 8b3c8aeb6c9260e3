"""`forewarn-client`: the tracer daemon and its person, and the offline commands."""

import sys

import typer

from forewarn_client import offline
from forewarn_shell.command_line import run

app = typer.Typer(
    help="Forewarn's tracer: contact tracing by Bluetooth that leaves the diary on the device.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
app.command()(offline.match)
app.command()(offline.derive)
app.command()(offline.risk)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(app, "forewarn-client"))
