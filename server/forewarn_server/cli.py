"""The command `forewarn-server`: init, run, migrate, and what the authority does at the server itself."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from forewarn_protocol.errors import BadInput
from forewarn_server import setting_up
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.serving import serve
from forewarn_server.store.schema import SCHEMAS
from forewarn_shell import command_line
from forewarn_shell.clock import SystemClock

app = typer.Typer(
    help="Forewarn's server: codes, publish, exports, feeds.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Data = Annotated[Path, typer.Option("--data", help="Folder with databases, keys and public files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def init(
    data: Data,
    region: Annotated[str, typer.Option(help="Region whose keys this server publishes.")],
    health_authority_id: Annotated[str, typer.Option(help="Name in certificates (default: the region).")] = "",
    as_json: Json = False,
) -> None:
    """Create what is missing of a server (settings, keys, databases) and print its public keys."""
    made = setting_up.initialise(data, region, health_authority_id)
    if as_json:
        typer.echo(json.dumps(made.as_json()))
        return
    typer.echo(f"region      {made.region}")
    typer.echo(f"created     {', '.join(made.created) or 'nothing: all was there'}")
    typer.echo(f"feed key    {made.feed_key}")
    typer.echo(f"export key  {made.export_key}")


@app.command()
def run(
    data: Data,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default 8080; 0: any free one).")] = None,
    role: Annotated[str, typer.Option(help="What this process does; only 'all' so far.")] = "all",
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    if role != "all":
        raise BadInput("only --role all is offered so far: one process does everything")
    settings = ServerSettings.load(data, host=host, port=port)
    clock = SystemClock()
    asyncio.run(serve(create_app(settings, clock), settings, say=typer.echo))


@app.command()
def migrate(data: Data) -> None:
    """Bring the databases to this version's schema."""
    ServerSettings.load(data)
    for schema in SCHEMAS:
        changed = schema.migrate(data)
        typer.echo(f"{schema.name}: {'migrated' if changed else 'is up to date'}")


def main() -> None:
    """Run the command line and exit with its documented code."""
    sys.exit(command_line.run(app, "forewarn-server"))
