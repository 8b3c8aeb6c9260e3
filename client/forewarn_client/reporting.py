"""Report: a person who tested positive gives this device's keys away, once, with a code of the health authority.

A later code may change what was sent: a suspicion is confirmed, together with the days since, or taken back. Only the
server knows which of it a code stands for, so then the person is asked twice: for the code, and for what it says.

Code → token → keys chosen → certificate → published; or, for the authority to pass on, sealed into a file. What a step
needs is durable before its request leaves, and every request may be sent again: the same nonce gets the same token, the
same HMAC the same certificate, the same body the same answer. So a crash or a lost answer costs neither the code nor a
second publish.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from forewarn_client import report_state
from forewarn_client.connection import Connection, NoAnswer, connect
from forewarn_client.device import Device
from forewarn_client.offering import Offer, Wish
from forewarn_client.pinned_feeds import CONFIGURATION, refresh
from forewarn_client.report_errand import Errand, as_issued
from forewarn_client.report_requests import Walk, certify, fill, known_configuration, publish
from forewarn_client.report_state import ReportState
from forewarn_client.timing import Timing
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.errors import BadInput, Missing, NotVerified, Refused
from forewarn_protocol.intervals import day_of, first_interval, interval_at
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.sealed_uploads import SealedUpload
from forewarn_protocol.verification import TOKEN_S, TestType, tekmac

_PARTIAL_FAILURE: Final = "partial_failure"
_FOR_GOOD: Final = frozenset(
    {"missing_revision_token", "invalid_revision_token", "key_already_revised", "invalid_report_type_transition"}
)
"""What the server says when keys were published or changed in a way that this device does not know of."""

Consent = Callable[[Offer], bool]
_LastStep = Callable[[Errand, Connection], Awaitable["Outcome"]]


class Outcome(StrEnum):
    """How a report ended."""

    SENT = "sent"
    PARTLY = "partly"
    SEALED = "sealed"
    ALREADY = "already"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


async def report(
    device: Device,
    code: str,
    *,
    onset: date | None = None,
    drop_days: Collection[date] = (),
    consent: Consent,
    timing: Timing | None = None,
) -> Outcome:
    """Publish this device's keys with a code; the same call again goes on where the last one stopped.

    `consent` is asked before anything leaves the device, and once more if what is sent turns out to be more than what
    it agreed to: by the authority's date of the first symptoms, or by what the code stands for. Days are UTC.
    `timing`: the product's, unless a simulation brings its own.

    Raises:
        BadInput: code, onset or a dropped day is impossible, or no key is left to send.
        Refused: the server says no; the sentence tells the person what to do.
        Missing: no server is set, or it gives no answer; nothing is lost.
    """
    return await _report(device, code, Wish(onset, frozenset(drop_days)), consent, _publish, timing=timing)


async def hand_over(
    device: Device,
    code: str,
    keep: Callable[[bytes], None],
    *,
    onset: date | None = None,
    drop_days: Collection[date] = (),
    consent: Consent,
) -> Outcome:
    """Seal this device's keys to the server instead of sending them; `keep` gets the bytes and makes them durable.

    Whether they are ever published this device cannot know: the same code still reports them online, and the server
    takes both for one. The same errors as `report`; Missing also where the server takes no sealed uploads, NotVerified
    where the configuration that names its key has expired.
    """

    async def seal(errand: Errand, connection: Connection) -> Outcome:
        # A key that was changed since the last fetch would make a file that nobody opens; one that was stolen, and is
        # still told by a copy of an old configuration, a file that a stranger opens.
        fetched = await refresh(device, connection, CONFIGURATION)
        if fetched.expired:
            raise NotVerified(say(errand.language, "expired.configuration"))
        configuration = fetched.feed
        key = configuration.sealing_key()
        if key is None:
            raise Missing(say(errand.language, "report.no_uploads"))
        state, keys = await errand.chosen()
        if state.done:
            return Outcome.ALREADY
        request = _request(configuration, state, keys, "none yet")
        upload = SealedUpload.of(int(device.clock.utc()), state.token or "", request)
        keep(upload.seal(key, device.settings.region, fill))
        await device.database.write(report_state.advance, device.vault, errand.code, handed_over=True)
        return Outcome.SEALED

    return await _report(device, code, Wish(onset, frozenset(drop_days)), consent, seal)


async def _report(
    device: Device, code: str, wish: Wish, consent: Consent, last_step: _LastStep, *, timing: Timing | None = None
) -> Outcome:
    now = interval_at(device.clock.utc())
    language = device.settings.language
    walk = Walk(device.clock, timing or Timing.production(), language)
    errand = Errand(device, as_issued(code, language), wish.checked(day_of(now), language), now, walk)
    last = await device.database.read(report_state.load, device.vault, device.settings.region)
    if last is not None and last.code == errand.code and last.done:
        return Outcome.ALREADY
    with _resumable(language):
        last = await _finish_earlier(errand, last, consent)
    async with connect(device.settings.server, device.clock) as connection:
        offer = await device.database.read(errand.offer, last)
        errand.demand_possible(offer, last)
        if not consent(offer):
            return Outcome.DECLINED
        state = await device.database.write(
            report_state.begin, device.vault, device.settings.region, errand.code, day_of(now)
        )
        with _resumable(language):
            state = await errand.verified(connection, state)
            if state.done:  # by another command on this device, meanwhile
                return Outcome.ALREADY
            agreed, offer = offer, await device.database.read(errand.offer, state)
            if state.spans is not None:
                errand.demand_possible(offer, state)
            if agreed.covers(offer):
                return await last_step(errand, connection)
    # No connection stays open while a person reads: chaff pauses in the same way, and opens another one.
    if not consent(offer):
        return Outcome.DECLINED
    with _resumable(language):
        async with connect(device.settings.server, device.clock) as connection:
            return await last_step(errand, connection)


@contextmanager
def _resumable(language: Language) -> Iterator[None]:
    try:
        yield
    except NoAnswer as error:
        raise Missing(say(language, "report.resume")) from error


async def _finish_earlier(errand: Errand, last: ReportState | None, consent: Consent) -> ReportState | None:
    """Ask again for the answer of another code's report that never came, while that can still be had.

    Without it this device can change none of what was published. Returns the last report as it is then.
    """
    device = errand.device
    if last is None or last.code == errand.code or last.spans is None:
        return last
    if day_of(errand.now) - last.begun > timedelta(seconds=TOKEN_S):
        return last  # its token is dead
    earlier = Errand(device, last.code, Wish(), errand.now, errand.walk)
    # On a connection of its own: from outside, the rest of a report that paused.
    async with connect(device.settings.server, device.clock) as connection:
        if consent(await device.database.read(earlier.offer, last)):
            with suppress(Refused, BadInput):
                await _publish(earlier, connection)
    return await device.database.read(report_state.load, device.vault, device.settings.region)


async def _publish(errand: Errand, connection: Connection) -> Outcome:
    device = errand.device
    configuration = await known_configuration(device, connection)
    state, keys = await errand.chosen()
    if state.done:
        return Outcome.ALREADY
    certificate = await certify(errand.walk, connection, state.token or "", tekmac(keys, state.hmac_key))
    try:
        answer = await publish(errand.walk, connection, _request(configuration, state, keys, certificate))
    except Refused as error:
        if error.code in _FOR_GOOD:
            await device.database.write(errand.give_up)
        raise
    await device.database.write(errand.finish, answer.revision_token)
    if state.finding is TestType.NEGATIVE:
        return Outcome.WITHDRAWN  # a key that the server did not take was forgotten there: it warns nobody
    return Outcome.PARTLY if answer.code == _PARTIAL_FAILURE else Outcome.SENT


def _request(
    configuration: DeviceConfiguration, state: ReportState, keys: tuple[PublishedKey, ...], certificate: str
) -> PublishRequest:
    return PublishRequest(
        keys=keys,
        health_authority_id=configuration.health_authority_id,
        verification_payload=certificate,
        hmac_key=state.hmac_key,
        symptom_onset_interval=None if state.onset is None else first_interval(state.onset),
        revision_token=state.revision_token,
    )
