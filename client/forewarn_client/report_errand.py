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
from forewarn_client.keyring import OwnKey
from forewarn_client.offering import Offer, Wish, days_of, first_offered_day, newest, offered_days, onset_of, release
from forewarn_client.report_requests import Walk, verify
from forewarn_client.report_state import ReportState
from forewarn_client.revising import POSITIVE, acceptable, changeable, changing_to
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput, Refused
from forewarn_protocol.intervals import Interval, day_of
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.publishing import PublishedKey
from forewarn_protocol.verification import LONG_CODE_CHARACTERS, SHORT_CODE_DIGITS, TestType

_CODE: Final = re.compile(rf"[0-9]{{{SHORT_CODE_DIGITS}}}|[0-9a-z]{{{LONG_CODE_CHARACTERS}}}", re.ASCII)
_NOT_ACCEPTED: Final = "unsupported_test_type"


@dataclass(frozen=True, slots=True)
class Errand:
    """One report with one code: what it offers, and the keys that it chooses for good."""

    device: Device
    code: str = field(repr=False)
    wish: Wish
    now: Interval
    walk: Walk

    @property
    def language(self) -> Language:
        """The person's language."""
        return self.device.settings.language

    def offer(self, connection: sqlite3.Connection, last: ReportState | None) -> Offer:
        """Say what this errand would send; `last` is the last report, of this code or another.

        Raises:
            BadInput: there is nothing to send.
        """
        server = self.device.settings.server or ""
        mine = self._mine(last)
        finding = None if mine is None else mine.finding
        if mine is not None and mine.spans is not None:
            chosen = self._held(connection, mine.spans)
            new, sent = ([key.tek for key in chosen if (key.sent is not None) is sent] for sent in (False, True))
            return Offer(server, days_of(new), changed=days_of(sent), finding=finding)
        held = self._changeable(connection, last)
        changed = [key.tek for key in held] if finding is None else changing_to(held, finding)
        offer = Offer(server, self._offered(connection, last), self.wish.dropped, days_of(changed), finding)
        if not offer.days:
            sentence = "report.nothing_more" if last is not None and last.done else "report.nothing"
            raise BadInput(say(self.language, sentence))
        return offer

    def demand_possible(self, offer: Offer, last: ReportState | None) -> None:
        """Refuse a wish that this offer cannot fulfil, rather than send what the person wants to keep."""
        mine = self._mine(last)
        if mine is not None and mine.spans is not None:
            other_onset = self.wish.onset is not None and self.wish.onset != mine.onset
            if other_onset or self.wish.dropped.intersection(offer.days):
                raise BadInput(say(self.language, "report.fixed"))
        elif stray := self.wish.dropped.difference(offer.possible):
            days = ", ".join(day.isoformat() for day in offer.possible)
            raise BadInput(say(self.language, "report.bad_day", day=min(stray).isoformat(), days=days))

    async def verified(self, connection: Connection, state: ReportState) -> ReportState:
        """Exchange the code for a token, unless that is done, or all of it is by another command meanwhile."""
        if state.token is not None or state.done:
            return state
        accept = await self.device.database.read(self._acceptable, state)
        try:
            answer = await verify(self.walk, connection, self.code, state.nonce, accept)
        except Refused as error:
            if error.code != _NOT_ACCEPTED:
                raise
            sentence = "report.no_withdrawal" if set(POSITIVE) <= set(accept) else "report.no_change"
            raise Refused(say(self.language, sentence), error.code) from None
        return await self.device.database.write(
            report_state.advance,
            self.device.vault,
            self.code,
            token=answer.token,
            finding=answer.testtype,
            symptom_date=answer.symptom_date,
        )

    async def chosen(self) -> tuple[ReportState, tuple[PublishedKey, ...]]:
        """Choose the keys for good; of a report that is done there are none."""
        state, teks = await self.device.database.write(self._choose)
        # In the order of their bytes: the order in which they were spoken is nobody's business.
        return state, tuple(PublishedKey.of(tek) for tek in sorted(teks, key=lambda tek: tek.key))

    def finish(self, connection: sqlite3.Connection, revision_token: str) -> None:
        """Note that the keys were published, inside a transaction that is open: on each of them, and in the report."""
        state = report_state.advance(connection, self.device.vault, self.code)
        if state.spans is not None and state.finding is not None:
            self.device.keyring.mark_sent_within(connection, state.spans, state.finding)
        report_state.finish(connection, self.device.vault, self.code, revision_token)

    def give_up(self, connection: sqlite3.Connection) -> None:
        """Close what the server refuses for good, inside a transaction that is open, so that the next code can succeed.

        An earlier report or revision arrived and its answer never did: its keys are published, or changed, in a way
        that this device cannot change. They are left out from now on; the other days are not.
        """
        state = report_state.advance(connection, self.device.vault, self.code)
        held = self._held(connection, state.spans or ())
        changed = {(key.tek.rolling_start, key.tek.rolling_period) for key in held if key.sent is not None}
        if changed and state.finding is not None:
            self.device.keyring.mark_sent_within(connection, changed, state.finding)
        until = state.unsure_until if changed else state.unsure_until or state.chosen_until
        report_state.give_up(connection, self.device.vault, self.code, until)

    def _choose(self, connection: sqlite3.Connection) -> tuple[ReportState, list[TemporaryExposureKey]]:
        device = self.device
        state = report_state.advance(connection, device.vault, self.code)
        if state.done or state.spans is not None:
            return state, self._chosen(connection, state.spans or ())
        teks = self._changed(connection, state)
        if state.finding is not TestType.NEGATIVE:
            teks += release(
                connection,
                device.keyring,
                self._first_day(state),
                self.now,
                dropped=self.wish.dropped,
                published_until=state.published_until,
            )
        if not (teks := newest(teks)):
            raise BadInput(say(self.language, "report.nothing"))
        chosen = report_state.advance(
            connection,
            device.vault,
            self.code,
            onset=self._onset(state),
            spans=tuple((tek.rolling_start, tek.rolling_period) for tek in teks),
        )
        return chosen, teks

    def _chosen(self, connection: sqlite3.Connection, spans: Collection[tuple[int, int]]) -> list[TemporaryExposureKey]:
        teks = [key.tek for key in self._held(connection, spans)]
        if len(teks) < len(spans):
            # A day has been forgotten since: the certificate is for other keys, and by now the token is dead, too.
            raise BadInput(say(self.language, "refused.token"))
        return teks

    def _held(self, connection: sqlite3.Connection, spans: Collection[tuple[int, int]]) -> list[OwnKey]:
        first_day = day_of(Interval(min((start for start, _ in spans), default=self.now)))
        held = self.device.keyring.held_within(connection, first_day)
        return [key for key in held if (key.tek.rolling_start, key.tek.rolling_period) in spans]

    def _changeable(self, connection: sqlite3.Connection, last: ReportState | None) -> list[OwnKey]:
        if last is None or not last.revision_token:
            return []
        return changeable(connection, self.device.keyring, day_of(self.now))

    def _changed(self, connection: sqlite3.Connection, state: ReportState) -> list[TemporaryExposureKey]:
        if state.finding is None:
            return []
        teks = changing_to(self._changeable(connection, state), state.finding)
        return [tek for tek in teks if day_of(tek.rolling_start) not in self.wish.dropped]

    def _offered(self, connection: sqlite3.Connection, last: ReportState | None) -> tuple[date, ...]:
        mine = self._mine(last)
        if mine is not None and mine.finding is TestType.NEGATIVE:
            return ()
        published_until = last.published_until if last else 0
        return offered_days(connection, self.device.keyring, self._first_day(last), self.now, published_until)

    def _acceptable(self, connection: sqlite3.Connection, state: ReportState) -> tuple[TestType, ...]:
        offers_days = bool(set(self._offered(connection, state)) - self.wish.dropped)
        return acceptable(self._changeable(connection, state), offers_days=offers_days)

    def _mine(self, last: ReportState | None) -> ReportState | None:
        return last if last is not None and last.code == self.code else None

    def _first_day(self, last: ReportState | None) -> date:
        return first_offered_day(self._onset(last), day_of(self.now))

    def _onset(self, last: ReportState | None) -> date | None:
        mine = self._mine(last)
        told = onset_of(self.wish, mine.symptom_date if mine else None, day_of(self.now))
        return told or (last.onset if last else None)


def as_issued(code: str, language: Language) -> str:
    """Return a code as the server knows it: they are read out and typed in groups.

    Raises:
        BadInput: it has the form of none.
    """
    text = "".join(code.split()).replace("-", "").lower()
    if not _CODE.fullmatch(text):
        raise BadInput(say(language, "report.bad_code"))
    return text
