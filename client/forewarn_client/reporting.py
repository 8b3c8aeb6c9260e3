"""Report: a person who tested positive gives this device's keys away, once, with a code of the health authority.

A later code may change what was sent: a suspicion is confirmed, together with the days since, or taken back. Only the
server knows which of it a code stands for, so then the person is asked twice: for the code, and for what it says.

Code → token → keys chosen → certificate → published. What a step needs is durable before its request leaves, and every
request may be sent again: the same nonce gets the same token, the same HMAC the same certificate, the same body the
same answer. So a crash or a lost answer costs neither the code nor a second publish.
"""

import re
import sqlite3
from collections.abc import Callable, Collection
from datetime import date
from enum import StrEnum
from typing import Final

from forewarn_client import report_state
from forewarn_client.connection import Connection, NoAnswer, connect
from forewarn_client.device import Device
from forewarn_client.offering import Offer, Wish
from forewarn_client.pinned_feeds import CONFIGURATION, refresh, remembered
from forewarn_client.report_requests import certify, publish, verify
from forewarn_client.report_state import ReportState
from forewarn_client.revising import POSITIVE
from forewarn_client.selection import Selection
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput, Missing, Refused
from forewarn_protocol.intervals import day_of, first_interval, interval_at
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.verification import LONG_CODE_CHARACTERS, SHORT_CODE_DIGITS, TestType, tekmac

_CODE: Final = re.compile(rf"[0-9]{{{SHORT_CODE_DIGITS}}}|[0-9a-z]{{{LONG_CODE_CHARACTERS}}}", re.ASCII)
_PARTIAL_FAILURE: Final = "partial_failure"
_NOT_ACCEPTED: Final = "unsupported_test_type"

Consent = Callable[[Offer], bool]


class Outcome(StrEnum):
    """How a report ended."""

    SENT = "sent"
    PARTLY = "partly"
    ALREADY = "already"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


async def report(
    device: Device, code: str, *, onset: date | None = None, drop_days: Collection[date] = (), consent: Consent
) -> Outcome:
    """Publish this device's keys with a code; the same call again goes on where the last one stopped.

    `consent` is asked before anything leaves the device, and once more if what is sent turns out to be more than what
    it agreed to: by the authority's date of the first symptoms, or by what the code stands for. Days are UTC.

    Raises:
        BadInput: code, onset or a dropped day is impossible, or no key is left to send.
        Refused: the server says no; the sentence tells the person what to do.
        Missing: no server is set, or it gives no answer; nothing is lost.
    """
    now = interval_at(device.clock.utc())
    wish = Wish(onset, frozenset(drop_days)).checked(day_of(now), device.settings.language)
    choice = Selection(device, _as_issued(code, device.settings.language), wish, now)
    last = await device.database.read(report_state.load, device.vault, device.settings.region)
    if last is not None and last.code == choice.code and last.done:
        return Outcome.ALREADY
    async with connect(device.settings.server, device.clock) as connection:
        offer = await device.database.read(choice.offer, last)
        choice.demand_possible(offer, last)
        if not consent(offer):
            return Outcome.DECLINED
        state = await device.database.write(
            report_state.begin, device.vault, device.settings.region, choice.code, day_of(now)
        )
        try:
            state = await _verified(choice, connection, state)
            if state.done:  # by another command on this device, meanwhile
                return Outcome.ALREADY
            agreed, offer = offer, await device.database.read(choice.offer, state)
            if state.spans is not None:
                choice.demand_possible(offer, state)
            if not agreed.covers(offer) and not consent(offer):
                return Outcome.DECLINED
            return await _publish(choice, connection)
        except NoAnswer as error:
            raise Missing(say(device.settings.language, "report.resume")) from error


async def _verified(choice: Selection, connection: Connection, state: ReportState) -> ReportState:
    if state.token is not None:
        return state
    accept = await choice.device.database.read(choice.acceptable, state)
    try:
        answer = await verify(connection, choice.language, choice.code, state.nonce, accept)
    except Refused as error:
        if error.code != _NOT_ACCEPTED:
            raise
        sentence = "report.no_withdrawal" if set(POSITIVE) <= set(accept) else "report.no_change"
        raise Refused(say(choice.language, sentence), error.code) from None
    return await choice.device.database.write(
        report_state.advance,
        choice.device.vault,
        choice.code,
        token=answer.token,
        finding=answer.testtype,
        symptom_date=answer.symptom_date,
    )


async def _publish(choice: Selection, connection: Connection) -> Outcome:
    device = choice.device
    configuration = await remembered(device, CONFIGURATION)
    if configuration is None:
        configuration = (await refresh(device, connection, CONFIGURATION)).feed
    state, teks = await device.database.write(choice.choose)
    if state.done:
        return Outcome.ALREADY
    # In the order of their bytes: the order in which they were spoken is nobody's business.
    keys = tuple(PublishedKey.of(tek) for tek in sorted(teks, key=lambda tek: tek.key))
    certificate = await certify(connection, choice.language, state.token or "", tekmac(keys, state.hmac_key))
    request = PublishRequest(
        keys=keys,
        health_authority_id=configuration.health_authority_id,
        verification_payload=certificate,
        hmac_key=state.hmac_key,
        symptom_onset_interval=None if state.onset is None else first_interval(state.onset),
        revision_token=state.revision_token,
    )
    answer = await publish(connection, choice.language, request)
    await device.database.write(_finish, choice, answer.revision_token)
    if state.finding is TestType.NEGATIVE:
        return Outcome.WITHDRAWN  # a key that the server did not take was forgotten there: it warns nobody
    return Outcome.PARTLY if answer.code == _PARTIAL_FAILURE else Outcome.SENT


def _finish(connection: sqlite3.Connection, choice: Selection, revision_token: str) -> None:
    state = report_state.advance(connection, choice.device.vault, choice.code)
    if state.spans is not None and state.finding is not None:
        choice.device.keyring.mark_sent_within(connection, state.spans, state.finding)
    report_state.finish(connection, choice.device.vault, choice.code, revision_token)


def _as_issued(code: str, language: Language) -> str:
    # Codes are read out and typed in groups.
    text = "".join(code.split()).replace("-", "").lower()
    if not _CODE.fullmatch(text):
        raise BadInput(say(language, "report.bad_code"))
    return text
