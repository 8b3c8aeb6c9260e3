"""The command `report`: it says in plain words what would be sent and to whom, and asks."""

import asyncio
from datetime import datetime
from typing import Annotated, Final

import typer

from forewarn_client import reporting
from forewarn_client.asking import agreed, demand_terminal
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device, demand_diary
from forewarn_client.offering import Offer, Wish
from forewarn_client.reporting import Consent, Outcome
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.verification import TestType
from forewarn_shell.clock import Clock, SystemClock
from forewarn_shell.command_line import EXIT_DONE, EXIT_NO

_DAY_FORMAT: Final = ["%Y-%m-%d"]


def report(
    context: typer.Context,
    code: Annotated[list[str], typer.Argument(help="From the health authority; spaces do not matter.", metavar="CODE")],
    onset: Annotated[
        datetime | None,
        typer.Option(help="First day of symptoms.", formats=_DAY_FORMAT, metavar="YYYY-MM-DD", show_default=False),
    ] = None,
    drop_day: Annotated[
        list[datetime] | None,
        typer.Option(
            help="A day (UTC) to keep back; may be given again.",
            formats=_DAY_FORMAT,
            metavar="YYYY-MM-DD",
            show_default=False,
        ),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked.")] = False,
) -> int:
    """Publish this device's keys, so that the people who were near are warned; a later code confirms or takes back.

    If it breaks off, run it again with the same code: nothing is sent twice.
    """
    settings: ClientSettings = context.obj()
    consent = _agrees_by_option if yes else _asked(settings.language)
    wish = Wish(onset.date() if onset else None, frozenset(day.date() for day in drop_day or []))
    outcome = asyncio.run(report_from(settings, SystemClock(), " ".join(code), wish, consent))
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


def offer_in_words(offer: Offer, language: Language) -> str:
    """Say what would be sent, to whom, and what follows from it."""
    if offer.asks_for_code_alone:
        return say(language, "report.code", server=offer.server)
    changed, new = (
        [day.isoformat() for day in days if day not in offer.dropped] for days in (offer.changed, offer.offered)
    )

    def days(sentence: str, named: list[str]) -> str:
        finding = say(language, f"finding.{offer.finding}") if offer.finding else ""
        listed = ", ".join(named)
        return say(language, sentence, server=offer.server, count=len(named), days=listed, finding=finding)

    if offer.finding is TestType.NEGATIVE:
        return "\n".join([days("report.withdraw", changed), say(language, "report.withdraw_follows")])
    what = [days("report.what", new)]
    if changed:
        what = [days("report.confirm", changed), *([days("report.confirm_new", new)] if new else [])]
    parts = ("who", "limit", *(["once"] if changed else []), "drop")
    return "\n".join([*what, *(say(language, f"report.{part}") for part in parts)])


def _agrees_by_option(_: Offer) -> bool:
    return True


def _asked(language: Language) -> Consent:
    # Looked at before anything else: a script that forgot --yes must not find its code used and nothing sent.
    demand_terminal(say(language, "report.no_terminal"))

    def ask(offer: Offer) -> bool:
        typer.echo(offer_in_words(offer, language))
        return agreed(say(language, "report.ask"))

    return ask
