"""The command `report`: it says in plain words what would be sent and to whom, and asks."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from forewarn_client import reporting
from forewarn_client.asking import agreed, demand_terminal
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device, demand_diary
from forewarn_client.offering import Offer, Wish
from forewarn_client.reporting import Consent, Outcome
from forewarn_client.translations import say, say_day
from forewarn_protocol.advice import Language
from forewarn_protocol.verification import TestType
from forewarn_shell.clock import Clock, SystemClock
from forewarn_shell.command_line import EXIT_DONE, EXIT_NO

_DAY_FORMAT: Final = ["%Y-%m-%d"]


Onset = Annotated[
    datetime | None,
    typer.Option(help="First day of symptoms.", formats=_DAY_FORMAT, metavar="YYYY-MM-DD", show_default=False),
]
DropDay = Annotated[
    list[datetime] | None,
    typer.Option(
        help="A day (UTC) to keep back; may be given again.",
        formats=_DAY_FORMAT,
        metavar="YYYY-MM-DD",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Agree without being asked.")]


def report(
    context: typer.Context,
    code: Annotated[list[str], typer.Argument(help="From the health authority; spaces do not matter.", metavar="CODE")],
    onset: Onset = None,
    drop_day: DropDay = None,
    *,
    yes: Yes = False,
) -> int:
    """Publish this device's keys, so that the people who were near are warned; a later code confirms or takes back.

    If it breaks off, run it again with the same code: nothing is sent twice.
    """
    settings: ClientSettings = context.obj()
    consent = consent_of(settings.language, yes=yes)
    outcome = asyncio.run(report_from(settings, SystemClock(), " ".join(code), wish_of(onset, drop_day), consent))
    typer.echo(say(settings.language, f"report.{outcome}"))
    return EXIT_NO if outcome is Outcome.DECLINED else EXIT_DONE


async def report_from(settings: ClientSettings, clock: Clock, code: str, wish: Wish, consent: Consent) -> Outcome:
    """Open the device and report; there is nothing to report where no daemon ever ran.

    Raises:
        Missing: there is no diary.
    """
    demand_diary(settings.data)
    async with Device.open(settings, clock) as device:
        return await reporting.report(device, code, onset=wish.onset, drop_days=wish.dropped, consent=consent)


def wish_of(onset: datetime | None, drop_day: list[datetime] | None) -> Wish:
    """Return what the options ask for."""
    return Wish(onset.date() if onset else None, frozenset(day.date() for day in drop_day or []))


def consent_of(language: Language, *, yes: bool, file: Path | None = None) -> Consent:
    """Return who is asked: nobody with `yes`, else the person; `file`: where the keys go instead of to the server.

    Raises:
        BadInput: nobody can be asked.
    """
    if yes:
        return lambda _: True
    # Looked at before anything else: a script that forgot --yes must not find its code used and nothing sent.
    demand_terminal(say(language, "report.no_terminal"))

    def ask(offer: Offer) -> bool:
        typer.echo(offer_in_words(offer, language, file))
        return agreed(say(language, "report.ask"))

    return ask


def offer_in_words(offer: Offer, language: Language, file: Path | None = None) -> str:
    """Say on a terminal what would be sent, to whom, what follows from it, and how to keep a day back."""
    lines = offer_lines(offer, language, file, as_typed=True)
    if not offer.asks_for_code_alone and offer.finding is not TestType.NEGATIVE:
        lines.append(say(language, "report.drop"))
    return "\n".join(lines)


def offer_lines(offer: Offer, language: Language, file: Path | None = None, *, as_typed: bool = False) -> list[str]:
    """Say what would be sent, to whom, and what follows from it; `as_typed`: days as an option wants them."""
    if offer.asks_for_code_alone:
        return [say(language, "report.code", server=offer.server)]
    changed, new = (
        [day.isoformat() if as_typed else say_day(language, day) for day in days if day not in offer.dropped]
        for days in (offer.changed, offer.offered)
    )

    def tell(sentence: str, days: Sequence[str] = ()) -> str:
        finding = say(language, f"finding.{offer.finding}") if offer.finding else ""
        listed = ", ".join(days)
        return say(language, sentence, server=offer.server, file=file, count=len(days), days=listed, finding=finding)

    if not changed:
        what = [tell("report.what" if file is None else "report.what_file", new)]
        follows: tuple[str, ...] = ("who", "limit")
    elif offer.finding is TestType.NEGATIVE:
        what, follows = [tell("report.withdraw", changed)], ("withdraw_follows",)
    else:
        what = [tell("report.confirm", changed), *([tell("report.confirm_new", new)] if new else [])]
        follows = ("who", "limit", "once")
    if changed:
        what.append(tell("report.to_server" if file is None else "report.to_file"))
    return [*what, *(say(language, f"report.{part}") for part in follows)]
