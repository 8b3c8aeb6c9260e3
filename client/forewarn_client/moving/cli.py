"""The commands `move out` and `move in`: what the person is asked, and what they are told."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from forewarn_client.asking import agreed, demand_terminal, secret
from forewarn_client.config import ClientSettings
from forewarn_client.device import MOVED_FILE, demand_diary
from forewarn_client.moving import arriving, leaving, passphrase
from forewarn_client.moving.passphrase import MIN_WORDS, Passphrase
from forewarn_client.new_files import demand_new
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput
from forewarn_shell.clock import SystemClock
from forewarn_shell.command_line import EXIT_DONE, EXIT_NO

move = typer.Typer(help="Take the diary to a new device: 'out' here, then 'in' there, within 48 hours.")

MoveFile = Annotated[Path, typer.Argument(help="The file that carries the diary.", metavar="FILE")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="Read the passphrase from this file's first line instead of asking.", metavar="FILE"),
]


@move.command("out")
def move_out(
    context: typer.Context,
    file: MoveFile,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Move the diary into FILE, sealed with a passphrase of at least five words, and destroy it here.

    If it breaks off, run it again: either this device still has its diary, or FILE is whole.
    """
    settings: ClientSettings = context.obj()
    language = settings.language
    if (settings.data / MOVED_FILE).exists():
        leaving.finish(settings.data)
        if not file.exists():
            demand_diary(settings.data)
    else:
        demand_diary(settings.data)
        demand_new(file)
        if not yes and not _agrees(settings, file):
            typer.echo(say(language, "move.declined"))
            return EXIT_NO
        chosen = _passphrase(language, passphrase_file, twice=True).strong(language)
        if damaged := asyncio.run(leaving.move_out(settings, SystemClock(), file, chosen)):
            typer.echo(say(language, "move.damaged", count=damaged))
    typer.echo(say(language, "move.left", file=file))
    return EXIT_DONE


@move.command("in")
def move_in(context: typer.Context, file: MoveFile, passphrase_file: PassphraseFile = None) -> int:
    """Bring the diary in FILE to this device, which has none, and delete FILE.

    Nothing changes where the passphrase is wrong, or FILE is damaged or over 48 hours old.
    """
    settings: ClientSettings = context.obj()
    arriving.demand_room(settings.data)
    typed = _passphrase(settings.language, passphrase_file, twice=False)
    arrived = asyncio.run(arriving.move_in(settings, SystemClock(), file, typed))
    typer.echo(say(settings.language, "move.arrived"))
    if not arrived.file_deleted:
        typer.echo(say(settings.language, "move.delete", file=file))
    return EXIT_DONE


def _agrees(settings: ClientSettings, file: Path) -> bool:
    demand_terminal(say(settings.language, "move.no_terminal"))
    return agreed(say(settings.language, "move.ask", data=settings.data, file=file))


def _passphrase(language: Language, file: Path | None, *, twice: bool) -> Passphrase:
    if file is not None:
        return passphrase.from_file(file, language)
    demand_terminal(say(language, "move.no_passphrase"))
    typed = Passphrase.typed(secret(say(language, "move.passphrase", words=MIN_WORDS)))
    if twice:
        typed.strong(language)
        if Passphrase.typed(secret(say(language, "move.again"))) != typed:
            raise BadInput(say(language, "move.differ"))
    return typed
