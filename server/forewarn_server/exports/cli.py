"""The commands `forewarn-server export inspect` and `export verify`: they need a file and no server."""

import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_server.exports.inspecting import as_json, as_lines

export = typer.Typer(help="Export files.")

File = Annotated[Path, typer.Argument(help="An export: a zip, or a bare export.bin.", exists=True, dir_okay=False)]


def _opened(path: Path) -> BinaryIO:
    # Before opening: a pipe without a writer would never open, and a device never end.
    if not path.is_file():
        raise BadExport(f"{path} is no file: give an export's zip file")
    return path.open("rb")


@export.command()
def inspect(file: File, as_json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print what an export file says: header, counts, keys; its signature is not looked at."""
    with _opened(file) as opened:
        found = ExportFile.open(opened)
        if as_json_:
            sys.stdout.writelines(as_json(found))
        else:
            sys.stdout.writelines(f"{line}\n" for line in as_lines(file, found))


@export.command()
def verify(
    file: File,
    public_key: Annotated[
        list[str], typer.Option(help="Base64 of a DER SubjectPublicKeyInfo; several: any of them may have signed.")
    ],
) -> None:
    """Tell whether an export file is signed by a key: exit 0 if it is, 1 if not, 2 if it is no export."""
    keys = [public_key_from_base64(text) for text in public_key]
    with _opened(file) as opened:
        found = ExportFile.open(opened)
        info = found.verify(keys)
        # A signature over keys that nobody can read is no good either.
        for readable in (found.keys(), found.revised_keys()):
            for _ in readable:
                pass
    typer.echo(f"verified: signed by {info.key_id} {info.key_version}".rstrip() + f", {found.key_count} keys")
