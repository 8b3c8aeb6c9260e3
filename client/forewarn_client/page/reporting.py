"""Entering a code: the form, what would be sent, and, after a yes, the report itself.

The report asks for consent as it goes, and a page cannot wait inside of it for a person. So what it asks is shown, and
the form that comes back carries a mark of what was shown: it agrees to that and to nothing else. Each step may be
repeated, for a report goes on where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from http import HTTPStatus
from typing import Final

from aiohttp import web

from forewarn_client import reporting
from forewarn_client.device import Device, demand_diary
from forewarn_client.offering import Offer, Wish
from forewarn_client.page.rendering import CLOCK, SESSION, keys, language, page, settings_in, to
from forewarn_client.page.texts import as_sentence
from forewarn_client.report_command import offer_lines
from forewarn_client.reporting import Outcome
from forewarn_client.timing import Timing
from forewarn_client.translations import say, say_day
from forewarn_protocol.errors import BadInput, Missing, NotVerified, Refused
from forewarn_protocol.intervals import day_at
from forewarn_protocol.keys import MAX_ONSET_DAYS

TIMING: Final = web.AppKey("timing", Timing)
_MOST: Final = 40
"""Values of one name in a form: more days or marks than there ever are."""


@dataclass(slots=True)
class Agreement:
    """What the person agreed to on the pages before, and what is still to be asked."""

    request: web.Request
    marks: frozenset[str]
    agreed: list[Offer] = field(default_factory=list)
    asked: list[Offer] = field(default_factory=list)

    def __call__(self, offer: Offer) -> bool:
        """Tell whether this was agreed to; sending fewer days than were shown is."""
        known = self.mark(offer) in self.marks
        (self.agreed if known else self.asked).append(offer)
        return known

    def mark(self, offer: Offer) -> str:
        """Return by what an offer is known again."""
        days = [[day.isoformat() for day in days] for days in (offer.offered, offer.changed)]
        return keys(self.request).seal(self.request[SESSION], repr((offer.server, days, str(offer.finding))))


async def ask_code(request: web.Request) -> web.StreamResponse:
    """Ask for the code."""
    return _form(request, {"code": "", "onset": ""})


async def take_code(request: web.Request) -> web.StreamResponse:
    """Go as far with a code as the person agreed to, and ask for the rest."""
    form = await request.post()
    texts = {name: str(form.get(name, ""))[:100] for name in ("code", "onset")}
    agreement = Agreement(request, frozenset(str(mark) for mark in form.getall("agreed", [])[:_MOST]))
    settings = settings_in(request)
    demand_diary(settings.data)
    try:
        wish = _wish(texts["onset"], *(form.getall(name, [])[:_MOST] for name in ("shown", "send")))
        async with Device.open(settings, request.app[CLOCK]) as device:
            outcome = await reporting.report(
                device,
                texts["code"],
                onset=wish.onset,
                drop_days=wish.dropped,
                consent=agreement,
                timing=request.app.get(TIMING),
            )
    except (BadInput, Refused, Missing, NotVerified) as error:
        return _form(request, texts, as_sentence(error.message))
    if outcome is Outcome.DECLINED:
        return _consent(request, agreement, texts, wish)
    raise to(request, f"code/{outcome}")


async def show_outcome(request: web.Request) -> web.StreamResponse:
    """Say how a report ended."""
    outcome = request.match_info["outcome"]
    if outcome not in {Outcome.SENT, Outcome.PARTLY, Outcome.WITHDRAWN, Outcome.ALREADY}:
        raise web.HTTPNotFound
    return page(request, "reported.html", sentence=say(language(request), f"report.{outcome}"))


def _form(request: web.Request, texts: dict[str, str], error: str | None = None) -> web.Response:
    today = day_at(request.app[CLOCK].utc())
    status = HTTPStatus.OK if error is None else HTTPStatus.UNPROCESSABLE_ENTITY
    first = date.fromordinal(today.toordinal() - MAX_ONSET_DAYS)
    return page(request, "code.html", status, texts=texts, error=error, today=today, first=first)


def _consent(request: web.Request, agreement: Agreement, texts: dict[str, str], wish: Wish) -> web.Response:
    spoken, last = language(request), agreement.asked[-1]
    shown = [offer_lines(replace(offer, dropped=frozenset()), spoken) for offer in agreement.asked]
    return page(
        request,
        "consent.html",
        texts=texts,
        offers=shown,
        # Where the code alone is asked for, nothing is known of days yet.
        days=() if last.asks_for_code_alone else [(day, day not in wish.dropped) for day in last.possible],
        marks=[agreement.mark(offer) for offer in (*agreement.agreed, *agreement.asked)],
        say_day=lambda day: say_day(spoken, day),
    )


def _wish(onset: str, shown: Sequence[object], sent: Sequence[object]) -> Wish:
    """Return what the form wishes; of the days that were shown, those without a mark are kept back."""
    kept_back = {_day(str(day)) for day in shown} - {_day(str(day)) for day in sent}
    return Wish(_day(onset) if onset else None, frozenset(kept_back))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text[:20]} is no day: write it as YYYY-MM-DD") from error
