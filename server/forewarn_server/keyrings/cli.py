"""The commands `forewarn-server keys list`, `rotate` and `revoke`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from forewarn_protocol.intervals import iso_utc
from forewarn_server.context import Context, in_context
from forewarn_server.keyrings.changing import ListedKey, listed_keys, revoke_key, rotate_key
from forewarn_server.keyrings.policies import Use
from forewarn_server.keyrings.schedule import Generation

keys = typer.Typer(help="The authority's keys: which there are, their change with an overlap, their revocation.")

Data = Annotated[
    Path, typer.Option("--data", envvar="FOREWARN_SERVER_DATA", help="Folder with databases, keys and public files.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AUse = Annotated[Use, typer.Argument(metavar="USE", help=f"One of {', '.join(Use)}.")]


@keys.command("list")
def list_(data: Data, as_json: Json = False) -> None:
    """List every key with its state and public half; secrets are never shown."""

    async def look(context: Context) -> list[ListedKey]:
        return listed_keys(context.keys, context.now_s())

    found = in_context(data, look)
    if as_json:
        typer.echo(json.dumps([key.as_json() for key in found]))
        return
    for key in found:
        since = f"from {iso_utc(key.active_s)}" if key.active_s else "from the start"
        until = "" if key.until_s is None else f" until {iso_utc(key.until_s)}"
        typer.echo(f"{key.use:<12} {key.name:<5} {key.state:<10} {since}{until}  {key.public_key}".rstrip())


@keys.command()
def rotate(data: Data, use: AUse, as_json: Json = False) -> None:
    """Make the next key of a use; it takes over after its announcement, and the old one stays accepted for a while."""

    async def change(context: Context) -> Generation:
        return await rotate_key(context, use)

    _tell(use, in_context(data, change), as_json)


@keys.command()
def revoke(
    data: Data,
    use: AUse,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which key, such as v1.")],
    as_json: Json = False,
) -> None:
    """Revoke and destroy a key; if it was active, the announced one or a fresh one takes over at once."""

    async def change(context: Context) -> Generation:
        return await revoke_key(context, use, name)

    _tell(use, in_context(data, change), as_json)


def _tell(use: Use, key: Generation, as_json: bool) -> None:
    if as_json:
        told = {"use": use.value, "name": key.name, "active_s": key.active_s, "public_key": key.public_key or None}
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"{use} key {key.name}, active from {iso_utc(key.active_s)}  {key.public_key}".rstrip())
