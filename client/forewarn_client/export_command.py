"""The command `keys export`: a report that leaves in a sealed file, for the health authority to pass on."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from forewarn_client import reporting
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device, demand_diary
from forewarn_client.new_files import demand_new, new_file
from forewarn_client.offering import Wish
from forewarn_client.report_command import DropDay, Onset, Yes, consent_of, wish_of
from forewarn_client.reporting import Consent, Outcome
from forewarn_client.translations import say
from forewarn_shell.clock import SystemClock
from forewarn_shell.command_line import EXIT_DONE, EXIT_NO

keys = typer.Typer(help="This device's own keys.")


@keys.command()
def export(
    context: typer.Context,
    code: Annotated[str, typer.Option(help="From the health authority; spaces do not matter.", metavar="CODE")],
    out: Annotated[Path, typer.Option(help="A new file for the sealed keys.", metavar="FILE")],
    onset: Onset = None,
    drop_day: DropDay = None,
    *,
    yes: Yes = False,
) -> int:
    """Seal this device's keys into FILE, which the health authority passes on and only the server can open.

    If it breaks off, run it again with the same code: the keys are published once, whatever arrives how often.
    """
    settings: ClientSettings = context.obj()
    demand_new(out)
    consent = consent_of(settings.language, yes=yes, file=out)
    outcome = asyncio.run(_sealed(settings, code, out, wish_of(onset, drop_day), consent))
    typer.echo(say(settings.language, f"report.{outcome}", file=out))
    return EXIT_NO if outcome is Outcome.DECLINED else EXIT_DONE


async def _sealed(settings: ClientSettings, code: str, out: Path, wish: Wish, consent: Consent) -> Outcome:
    demand_diary(settings.data)

    def keep(sealed: bytes) -> None:
        with new_file(out) as file:
            file.write(sealed)

    async with Device.open(settings, SystemClock()) as device:
        return await reporting.hand_over(device, code, keep, onset=wish.onset, drop_days=wish.dropped, consent=consent)
