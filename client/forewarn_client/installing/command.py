"""The command `install-service`: the daemon as a service that starts with the machine and is never given up."""

from pathlib import Path
from typing import Annotated

import typer

from forewarn_client.installing.writing import demand_systemd, next_steps, own_program, plan_for, write_files

_ROOT = Path("/")


def install_service(
    user_name: Annotated[
        str, typer.Option("--user-name", help="The user that the daemon gets for itself.", metavar="NAME")
    ] = "forewarn",
    tap: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--tap", help="Give it CAP_NET_ADMIN: it hears every sample over the management socket.")
    ] = False,
    dry_run: Annotated[  # noqa: FBT002 - as above
        bool, typer.Option("--dry-run", help="Print the files and write nothing.")
    ] = False,
    root: Annotated[
        Path, typer.Option("--root", help="Folder of the system to install into, such as an image.", metavar="DIR")
    ] = _ROOT,
    program: Annotated[
        Path | None, typer.Option("--program", help="The command to run, by its full path.", metavar="FILE")
    ] = None,
) -> None:
    """Write the daemon's units, user and D-Bus policy, and say what to type next."""
    plan = plan_for(program or own_program(), user_name, root, tap=tap)
    files = plan.files()
    if dry_run:
        for path, text in files.items():
            typer.echo(f"# {path}\n{text}")
        return
    if root == _ROOT:
        demand_systemd()
    write_files(files, root, typer.echo)
    typer.echo("\nNext:")
    for line in next_steps(plan):
        typer.echo(f"  {line}")
