"""One report on its way: what it offers the person, the token for the code, the keys that it chooses."""

import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from forewarn_client import report_state
from forewarn_client.connection import Connection
from forewarn_client.device import Device
from forewarn_client.offering import Offer, Wish, first_offered_day, offered_days, onset_of, release
from forewarn_client.report_requests import verify
from forewarn_client.report_state import ReportState
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput
from forewarn_protocol.intervals import Interval, day_of
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.publishing import PublishedKey
from forewarn_protocol.verification import LONG_CODE_CHARACTERS, SHORT_CODE_DIGITS

_CODE: Final = re.compile(rf"[0-9]{{{SHORT_CODE_DIGITS}}}|[0-9a-z]{{{LONG_CODE_CHARACTERS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Errand:
    """One report with one code: what it offers, and the keys that it chooses for good."""

    device: Device
    code: str = field(repr=False)
    wish: Wish
    now: Interval

    @property
    def language(self) -> Language:
        """The person's language."""
        return self.device.settings.language

    def offer(self, connection: sqlite3.Connection, last: ReportState | None) -> Offer:
        """Say what this errand would send; `last` is the last report, of this code or another."""
        server = self.device.settings.server or ""
        mine = self._mine(last)
        if mine is not None and mine.spans is not None:
            return Offer(server, tuple(sorted({day_of(Interval(start)) for start, _ in mine.spans})))
        days = offered_days(
            connection, self.device.keyring, self._first_day(mine), self.now, last.published_until if last else 0
        )
        offer = Offer(server, days, self.wish.dropped)
        if not offer.days:
            raise BadInput(say(self.language, "report.nothing"))
        return offer

    def demand_possible(self, offer: Offer, last: ReportState | None) -> None:
        """Refuse a wish that this offer cannot fulfil, rather than send what the person wants to keep."""
        mine = self._mine(last)
        if mine is not None and mine.spans is not None:
            other_onset = self.wish.onset is not None and self.wish.onset != mine.onset
            if other_onset or self.wish.dropped.intersection(offer.days):
                raise BadInput(say(self.language, "report.fixed"))
        elif stray := self.wish.dropped.difference(offer.offered):
            days = ", ".join(day.isoformat() for day in offer.offered)
            raise BadInput(say(self.language, "report.bad_day", day=min(stray).isoformat(), days=days))

    async def verified(self, connection: Connection, state: ReportState) -> ReportState:
        """Exchange the code for a token, unless that is done, or all of it is by another command meanwhile."""
        if state.token is not None or state.done:
            return state
        answer = await verify(connection, self.language, self.code, state.nonce)
        return await self.device.database.write(
            report_state.advance,
            self.device.vault,
            self.code,
            token=answer.token,
            symptom_date=answer.symptom_date,
        )

    async def chosen(self) -> tuple[ReportState, tuple[PublishedKey, ...]]:
        """Choose the keys for good; of a report that is done there are none."""
        state, teks = await self.device.database.write(self._choose)
        # In the order of their bytes: the order in which they were spoken is nobody's business.
        return state, tuple(PublishedKey.of(tek) for tek in sorted(teks, key=lambda tek: tek.key))

    def _choose(self, connection: sqlite3.Connection) -> tuple[ReportState, list[TemporaryExposureKey]]:
        device = self.device
        state = report_state.advance(connection, device.vault, self.code)
        if state.done or state.spans is not None:
            return state, self._chosen(connection, state.spans or ())
        teks = release(
            connection,
            device.keyring,
            self._first_day(state),
            self.now,
            dropped=self.wish.dropped,
            published_until=state.published_until,
        )
        if not teks:
            raise BadInput(say(self.language, "report.nothing"))
        chosen = report_state.advance(
            connection,
            device.vault,
            self.code,
            onset=onset_of(self.wish, state.symptom_date, day_of(self.now)),
            spans=tuple((tek.rolling_start, tek.rolling_period) for tek in teks),
        )
        return chosen, teks

    def _chosen(self, connection: sqlite3.Connection, spans: Collection[tuple[int, int]]) -> list[TemporaryExposureKey]:
        first_day = day_of(Interval(min((start for start, _ in spans), default=self.now)))
        held = [key.tek for key in self.device.keyring.held_within(connection, first_day)]
        teks = [tek for tek in held if (tek.rolling_start, tek.rolling_period) in spans]
        if len(teks) < len(spans):
            # A day has been forgotten since: the certificate is for other keys, and by now the token is dead, too.
            raise BadInput(say(self.language, "refused.token"))
        return teks

    def _mine(self, last: ReportState | None) -> ReportState | None:
        return last if last is not None and last.code == self.code else None

    def _first_day(self, mine: ReportState | None) -> date:
        today = day_of(self.now)
        return first_offered_day(onset_of(self.wish, mine.symptom_date if mine else None, today), today)


def as_issued(code: str, language: Language) -> str:
    """Return a code as the server knows it: they are read out and typed in groups.

    Raises:
        BadInput: it has the form of none.
    """
    text = "".join(code.split()).replace("-", "").lower()
    if not _CODE.fullmatch(text):
        raise BadInput(say(language, "report.bad_code"))
    return text
