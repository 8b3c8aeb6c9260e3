"""Report: a person who tested positive gives this device's keys away, once, with a code of the health authority.

Code → token → keys chosen → certificate → published. What a step needs is durable before its request leaves, and every
request may be sent again: the same nonce gets the same token, the same HMAC the same certificate, the same body the
same answer. So a crash or a lost answer costs neither the code nor a second publish.
"""

import re
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from forewarn_client import report_state
from forewarn_client.connection import Connection, NoAnswer, connect
from forewarn_client.device import Device
from forewarn_client.offering import Offer, Wish, first_offered_day, offered_days, onset_of, release
from forewarn_client.pinned_feeds import CONFIGURATION, refresh, remembered
from forewarn_client.report_requests import certify, publish, verify
from forewarn_client.report_state import ReportState
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput, Missing
from forewarn_protocol.intervals import Interval, day_of, first_interval, interval_at
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.verification import LONG_CODE_CHARACTERS, SHORT_CODE_DIGITS, tekmac

_CODE: Final = re.compile(rf"[0-9]{{{SHORT_CODE_DIGITS}}}|[0-9a-z]{{{LONG_CODE_CHARACTERS}}}", re.ASCII)
_PARTIAL_FAILURE: Final = "partial_failure"

Consent = Callable[[Offer], bool]


class Outcome(StrEnum):
    """How a report ended."""

    SENT = "sent"
    PARTLY = "partly"
    ALREADY = "already"
    DECLINED = "declined"


async def report(
    device: Device, code: str, *, onset: date | None = None, drop_days: Collection[date] = (), consent: Consent
) -> Outcome:
    """Publish this device's keys with a code; the same call again goes on where the last one stopped.

    `consent` is asked before anything leaves the device, and once more if the authority's date of the first symptoms
    adds days. Days are UTC.

    Raises:
        BadInput: code, onset or a dropped day is impossible, or no key is left to send.
        Refused: the server says no; the sentence tells the person what to do.
        Missing: no server is set, or it gives no answer; nothing is lost.
    """
    now = interval_at(device.clock.utc())
    wish = Wish(onset, frozenset(drop_days)).checked(day_of(now), device.settings.language)
    errand = _Errand(device, _as_issued(code, device.settings.language), wish, now)
    last = await device.database.read(report_state.load, device.vault)
    if last is not None and last.code == errand.code and last.done:
        return Outcome.ALREADY
    async with connect(device.settings.server, device.clock) as connection:
        offer = await device.database.read(errand.offer, last)
        errand.demand_possible(offer, last)
        if not consent(offer):
            return Outcome.DECLINED
        state = await device.database.write(report_state.begin, device.vault, errand.code, day_of(now))
        try:
            state = await errand.verified(connection, state)
            if state.done:  # by another command on this device, meanwhile
                return Outcome.ALREADY
            agreed, offer = offer.days, await device.database.read(errand.offer, state)
            if not set(agreed).issuperset(offer.days) and not consent(offer):
                return Outcome.DECLINED
            return await errand.publish(connection)
        except NoAnswer as error:
            raise Missing(say(device.settings.language, "report.resume")) from error


@dataclass(frozen=True, slots=True)
class _Errand:
    device: Device
    code: str = field(repr=False)
    wish: Wish
    now: Interval

    @property
    def language(self) -> Language:
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
        """Exchange the code for a token, unless that is done."""
        if state.token is not None:
            return state
        answer = await verify(connection, self.language, self.code, state.nonce)
        return await self.device.database.write(
            report_state.advance,
            self.device.vault,
            self.code,
            token=answer.token,
            symptom_date=answer.symptom_date,
        )

    async def publish(self, connection: Connection) -> Outcome:
        """Choose the keys for good, certify them, publish them."""
        device = self.device
        configuration = await remembered(device, CONFIGURATION)
        if configuration is None:
            configuration = (await refresh(device, connection, CONFIGURATION)).feed
        state, teks = await device.database.write(self._choose)
        if state.done:
            return Outcome.ALREADY
        # In the order of their bytes: the order in which they were spoken is nobody's business.
        keys = tuple(PublishedKey.of(tek) for tek in sorted(teks, key=lambda tek: tek.key))
        certificate = await certify(connection, self.language, state.token or "", tekmac(keys, state.hmac_key))
        request = PublishRequest(
            keys=keys,
            health_authority_id=configuration.health_authority_id,
            verification_payload=certificate,
            hmac_key=state.hmac_key,
            symptom_onset_interval=None if state.onset is None else first_interval(state.onset),
        )
        answer = await publish(connection, self.language, request)
        await device.database.write(report_state.finish, device.vault, self.code, answer.revision_token)
        return Outcome.PARTLY if answer.code == _PARTIAL_FAILURE else Outcome.SENT

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


def _as_issued(code: str, language: Language) -> str:
    # Codes are read out and typed in groups.
    text = "".join(code.split()).replace("-", "").lower()
    if not _CODE.fullmatch(text):
        raise BadInput(say(language, "report.bad_code"))
    return text
