"""The command `forewarn-client`: the daemon, and what its person asks of it."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from forewarn_client import offline, pause_command, report_command
from forewarn_client.calibrating.cli import calibrate
from forewarn_client.condition import condition_of
from forewarn_client.config import ClientSettings
from forewarn_client.diary.database import Damaged
from forewarn_client.doctor.examination import examine
from forewarn_client.erasing import erase as erase_data
from forewarn_client.export_command import keys
from forewarn_client.installing.command import install_service
from forewarn_client.moving.cli import move
from forewarn_client.page.command import page
from forewarn_client.provisioning.cli import provision
from forewarn_client.running import read_status, run_daemon
from forewarn_client.telling.notify_command import notify
from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell import command_line
from forewarn_shell.clock import SystemClock

app = typer.Typer(
    help="Forewarn's tracer: a diary of encounters that never leaves this device.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def read_settings(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of diary, device key and settings.toml.", metavar="DIR")
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", help="The health authority's server.", metavar="URL")
    ] = None,
    public_key: Annotated[
        list[str] | None,
        typer.Option("--public-key", help="Feed key that is trusted (base64; may be given again).", metavar="B64"),
    ] = None,
) -> None:
    """Forewarn's tracer: a diary of encounters that never leaves this device."""
    # Read only by the commands that have a device: `match` must work beside a settings file that is wrong.
    context.obj = lambda: ClientSettings.load(data=data, server=server, public_key=tuple(public_key or ()) or None)


def settings_of(context: typer.Context) -> ClientSettings:
    """Return the settings that the options before the command, the environment and the file make together."""
    settings: ClientSettings = context.obj()
    return settings


@app.command()
def run(context: typer.Context) -> None:
    """Speak, listen, fetch, match and forget until SIGTERM or Ctrl-C."""
    run_daemon(settings_of(context), SystemClock(), say=typer.echo)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show whether the daemon works, what it last did, and the encounters of each day."""
    settings = settings_of(context)
    found = read_status(settings, SystemClock())
    condition = condition_of(found)
    if as_json:
        typer.echo(json.dumps(condition.as_json() | found.as_json()))
    else:
        typer.echo(f"{condition.sentence(settings.language)}\n{found.as_text()}")


@app.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Exit with 0: nothing to do, 4: an alert is active, 3: can't know (the last match is over 24 h old)."""
    try:
        found = read_status(settings_of(context), SystemClock())
    except Damaged as error:
        raise Missing(f"can't know: {error.message}") from error
    shown = found.as_json()
    answer = {name: shown[name] for name in ("check", "alerts", "withdrawn", "last_match")}
    typer.echo(json.dumps(answer) if as_json else found.check_text)
    raise typer.Exit(found.check)


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check radio, rights, clock, disk and server; exit with 1: something is wrong, 3: a needed thing is missing."""
    settings = settings_of(context)
    found = examine(settings, SystemClock())
    typer.echo(json.dumps(found.as_json()) if as_json else found.as_text(settings.language))
    raise typer.Exit(found.exit_code)


@app.command()
def erase(context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Destroy this device's keys, then delete its diary."""
    data = settings_of(context).data
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("erase asks first, and nobody can answer here: run erase --yes")
        if not typer.confirm(f"Erase the diary and all keys in {data}? Nothing can bring them back."):
            typer.echo("Nothing was erased.")
            raise typer.Exit(command_line.EXIT_NO)
    typer.echo("Erased." if erase_data(data) else f"There is no diary in {data}.")


app.command("calibrate")(calibrate)
app.command("report")(report_command.report)
app.command("pause")(pause_command.pause)
app.command("resume")(pause_command.resume)
app.command("page")(page)
app.command("notify")(notify)
app.command("install-service")(install_service)
app.add_typer(keys, name="keys")
app.add_typer(move, name="move")
app.command("provision")(provision)
app.command("match")(offline.match)
app.command("derive")(offline.derive)
app.command("risk")(offline.risk)
