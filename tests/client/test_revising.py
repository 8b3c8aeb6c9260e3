import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import report_state
from forewarn_client.device import Device
from forewarn_client.forgetting import forget
from forewarn_client.offering import Offer
from forewarn_client.report_command import offer_in_words
from forewarn_client.reporting import Outcome, report
from forewarn_client.revising import acceptable, changeable, changing_to
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.errors import BadInput, Missing, Refused
from forewarn_protocol.intervals import Interval
from forewarn_protocol.publishing import PublishRequest
from forewarn_protocol.verification import TestType
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import DAY_S, HonestServer, serving
from tests.client.meetings import AT_ONCE, phone
from tests.client.moving.diaries import into, out, settings_of
from tests.client.test_reporting import NOON, STEPS, TODAY, days, days_of, published, speak, yes

FIRST, SECOND, THIRD = "11111111", "22222222", "33333333"
TOKEN = "a revision token"


@pytest.fixture
async def server(clock: VirtualClock) -> AsyncIterator[HonestServer]:
    async with serving(clock) as running:
        for code, finding in ((FIRST, "likely"), (SECOND, "negative"), (THIRD, "confirmed")):
            running.codes[code] = {"finding": finding}
        yield running


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that has spoken on each of the last six days and today, and has reported a suspicion."""
    async with phone(server, tmp_path / "phone", clock) as opened:
        await speak(opened, range(6, -1, -1))
        assert await report(opened, FIRST, consent=yes) is Outcome.SENT
        yield opened


async def two_days_later(device: Device, clock: VirtualClock) -> None:
    """Let the phone speak on, on each of two more days."""
    clock.jump(2 * DAY_S)
    for later in (1, 2):
        assert await device.keyring.next_identifier(Interval(NOON + 144 * later)) is not None


def keys_of(request: PublishRequest) -> set[tuple[str, int, int]]:
    return {(key.key, key.rolling_start_number, key.rolling_period) for key in request.keys}


async def test_a_negative_code_takes_back_what_was_sent_and_nothing_else(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await two_days_later(device, clock)
    assert await report(device, SECOND, consent=yes) is Outcome.WITHDRAWN
    first, second = published(server)
    assert (first.revision_token, second.revision_token) == ("", TOKEN)
    assert keys_of(second) == keys_of(first)
    assert await report(device, SECOND, consent=yes) is Outcome.ALREADY
    # The days since were not released: their keys speak on.
    taken = await device.keyring.next_identifier(Interval(NOON + 2 * 144 + 1))
    assert taken is not None
    assert taken[0].rolling_period == 144


async def test_a_positive_code_confirms_what_was_sent_and_adds_the_days_since(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await two_days_later(device, clock)
    assert await report(device, THIRD, consent=yes) is Outcome.SENT
    first, second = published(server)
    assert second.revision_token == TOKEN
    assert keys_of(first) < keys_of(second)
    assert days_of(second) == [*days_of(first), *days(17, 18)]


async def test_consent_is_asked_for_the_code_and_then_for_what_it_says(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await two_days_later(device, clock)
    server.asked.clear()
    asked: list[tuple[Offer, list[str]]] = []

    def note(offer: Offer) -> bool:
        asked.append((offer, list(server.asked)))
        return True

    await report(device, THIRD, consent=note)
    (first, before), (second, between) = asked
    assert (first.asks_for_code_alone, before) == (True, [])
    assert (second.asks_for_code_alone, between) == (False, ["/api/verify"])
    assert (second.finding, list(second.offered)) == (TestType.CONFIRMED, days(17, 18))
    assert list(second.changed) == days(10, 11, 12, 13, 14, 15, 16)


async def test_who_declines_the_code_or_what_it_says_sends_no_key_and_may_come_back(
    device: Device, server: HonestServer
) -> None:
    server.asked.clear()
    assert await report(device, SECOND, consent=lambda _: False) is Outcome.DECLINED
    assert server.asked == []
    answers = iter([True, False])
    assert await report(device, SECOND, consent=lambda _: next(answers)) is Outcome.DECLINED
    assert server.asked == ["/api/verify"]
    # What the code says is known now: one question is enough.
    answers = iter([True])
    assert await report(device, SECOND, consent=lambda _: next(answers)) is Outcome.WITHDRAWN
    assert server.count("/api/verify") == 1


async def test_without_a_report_a_negative_code_is_one_line_and_is_not_used_up(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        with pytest.raises(
            Refused, match="this device has none that can be taken back; the code was not used"
        ) as raised:
            await report(device, SECOND, consent=yes)
    assert "\n" not in raised.value.message
    assert "nonce" not in server.codes[SECOND]
    assert published(server) == []


async def test_a_confirmed_report_cannot_be_taken_back_and_the_code_is_not_used_up(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        await report(device, THIRD, consent=yes)
        clock.jump(DAY_S)
        await device.keyring.next_identifier(Interval(NOON + 144))
        with pytest.raises(Refused, match="none that can be taken back"):
            await report(device, SECOND, consent=yes)
    assert "nonce" not in server.codes[SECOND]


async def test_a_code_that_changes_nothing_is_not_used_up(device: Device, server: HonestServer) -> None:
    server.codes["44444444"] = {"finding": "likely"}
    with pytest.raises(Refused, match="changes nothing"):
        await report(device, "44444444", consent=yes)
    assert "nonce" not in server.codes["44444444"]


async def test_what_was_taken_back_is_taken_back_once_and_later_days_can_still_be_reported(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await report(device, SECOND, consent=yes)
    server.codes["44444444"] = {"finding": "negative"}
    server.asked.clear()
    with pytest.raises(BadInput, match="nothing left to send"):
        await report(device, "44444444", consent=yes)
    assert server.asked == []
    await two_days_later(device, clock)
    assert await report(device, THIRD, consent=yes) is Outcome.SENT
    assert days_of(published(server)[-1]) == days(17, 18)


async def test_each_key_is_changed_once(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> None:
    """From one's own word to a doctor's, and then to a test: the test counts for the days since the doctor."""
    server.codes[FIRST]["finding"], server.codes[SECOND]["finding"] = "user-report", "likely"
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(2, -1, -1))
        await report(device, FIRST, consent=yes)
        clock.jump(DAY_S)
        await device.keyring.next_identifier(Interval(NOON + 144))
        await report(device, SECOND, consent=yes)
        clock.jump(DAY_S)
        await device.keyring.next_identifier(Interval(NOON + 288))
        await report(device, THIRD, consent=yes)
    first, second, third = published(server)
    assert keys_of(first) < keys_of(second)
    assert days_of(third) == days(17, 18)
    assert third.revision_token == TOKEN


@pytest.mark.parametrize("code", [SECOND, THIRD])
@pytest.mark.parametrize("step", STEPS)
async def test_a_lost_answer_costs_neither_the_code_nor_a_second_revision(
    device: Device, server: HonestServer, clock: VirtualClock, step: str, code: str
) -> None:
    await two_days_later(device, clock)
    server.spoil(step, lambda: None, lambda: None)
    for _ in range(2):
        with pytest.raises(Missing, match="nothing is lost"):
            await report(device, code, consent=yes)
    assert await report(device, code, consent=yes) in {Outcome.WITHDRAWN, Outcome.SENT}
    revisions = published(server)[1:]
    assert len({request.fingerprint() for request in revisions}) == 1
    assert len(server.published) == 2
    assert await report(device, code, consent=yes) is Outcome.ALREADY


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_report_whose_answer_never_came_is_sent_again_only_if_the_person_agrees(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, *, agrees: bool
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        server.spoil("/v1/publish", lambda: None)
        with pytest.raises(Missing):
            await report(device, FIRST, consent=yes)
        server.asked.clear()
        asked: list[tuple[Offer, list[str]]] = []

        def answer(offer: Offer) -> bool:
            asked.append((offer, list(server.asked)))
            return agrees

        assert await report(device, THIRD, consent=answer) is (Outcome.SENT if agrees else Outcome.DECLINED)
    (earlier, before), *others = asked
    assert (earlier.finding, list(earlier.days), before) == (TestType.LIKELY, days(13, 14, 15, 16), [])
    if agrees:
        assert others[0][1] == ["/api/certificate", "/v1/publish"]
        assert [offer.finding for offer, _ in others] == [None, TestType.CONFIRMED]
    else:
        assert server.asked == []


@pytest.mark.parametrize("code", [SECOND, THIRD])
@pytest.mark.parametrize("step", STEPS)
async def test_a_process_that_dies_in_a_revision_goes_on_where_it_was(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, step: str, code: str
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        await report(device, FIRST, consent=yes)
        await two_days_later(device, clock)
        task = asyncio.create_task(report(device, code, consent=yes, timing=AT_ONCE))
        server.on_request = lambda: task.cancel() if server.asked[-1] == step else None
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError)
        server.on_request = None
    clock.jump(3600)
    async with phone(server, tmp_path, clock) as device:
        await device.keyring.next_identifier(Interval(NOON + 2 * 144 + 6))  # the daemon has spoken on meanwhile
        assert await report(device, code, consent=yes) in {Outcome.WITHDRAWN, Outcome.SENT}
    assert len({request.fingerprint() for request in published(server)[1:]}) == 1
    assert len(server.published) == 2


async def test_days_that_are_forgotten_meanwhile_are_left_out(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await device.trust.look()
    await clock.run_for(10 * DAY_S)
    assert await forget(device)
    assert await report(device, SECOND, consent=yes) is Outcome.WITHDRAWN
    # The 26th: what is older than thirteen days could be forgotten before a retry.
    assert days_of(published(server)[1]) == days(13, 14, 15, 16)


async def test_once_the_report_is_forgotten_there_is_nothing_to_take_back(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await device.trust.look()
    await clock.run_for(15 * DAY_S)
    assert await forget(device)
    await device.keyring.next_identifier(Interval(NOON + 15 * 144))
    with pytest.raises(Refused, match="none that can be taken back"):
        await report(device, SECOND, consent=yes)
    assert len(published(server)) == 1


async def test_a_day_that_the_person_drops_stays_as_it_was(device: Device, server: HonestServer) -> None:
    with pytest.raises(BadInput, match="2025-06-02 is not among the days"):
        await report(device, SECOND, drop_days=days(2), consent=yes)
    assert await report(device, SECOND, drop_days=days(12), consent=yes) is Outcome.WITHDRAWN
    assert days_of(published(server)[1]) == days(10, 11, 13, 14, 15, 16)


async def test_the_onset_of_the_report_holds_until_another_is_known(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        await report(device, FIRST, onset=date(2025, 6, 14), consent=yes)
        clock.jump(DAY_S)
        await device.keyring.next_identifier(Interval(NOON + 144))
        await report(device, THIRD, consent=yes)
    first, second = published(server)
    assert first.symptom_onset_interval is not None
    assert second.symptom_onset_interval == first.symptom_onset_interval


async def test_another_regions_server_learns_nothing_of_a_report(device: Device, clock: VirtualClock) -> None:
    abroad = replace(device, settings=device.settings.model_copy(update={"region": "de"}))
    offers: list[Offer] = []

    def note(offer: Offer) -> bool:
        offers.append(offer)
        return False

    await two_days_later(device, clock)
    await report(abroad, SECOND, consent=note)
    await report(device, SECOND, consent=note)
    assert [offer.asks_for_code_alone for offer in offers] == [False, True]


async def test_a_moved_diary_can_take_back_what_the_old_device_sent(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path / "old", clock) as device:
        await speak(device, range(3, -1, -1))
        await report(device, FIRST, consent=yes)
    await out(settings_of(tmp_path / "old", server), clock, tmp_path / "diary.move")
    await into(tmp_path / "new", clock, tmp_path / "diary.move")
    async with phone(server, tmp_path / "new", clock) as device:
        assert await report(device, SECOND, consent=yes) is Outcome.WITHDRAWN
    first, second = published(server)
    assert keys_of(first) == keys_of(second)


async def test_no_key_is_noted_as_sent_before_its_publish_was_answered(device: Device, server: HonestServer) -> None:
    def held(connection: sqlite3.Connection) -> list[TestType | None]:
        return [key.sent for key in device.keyring.held_within(connection, TODAY)]

    assert await device.database.read(held) == [TestType.LIKELY, None]  # the second one speaks on
    server.spoil("/v1/publish", lambda: None)
    with pytest.raises(Missing):
        await report(device, SECOND, consent=yes)
    assert await device.database.read(held) == [TestType.LIKELY, None]
    await report(device, SECOND, consent=yes)
    assert await device.database.read(held) == [TestType.NEGATIVE, None]
    assert await device.database.read(changeable, device.keyring, TODAY) == []


async def test_the_revision_token_stands_readable_nowhere(device: Device) -> None:
    state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    assert state.revision_token == TOKEN
    on_disk = b"".join(path.read_bytes() for path in device.settings.data.iterdir())
    assert TOKEN not in repr(state)
    assert TOKEN.encode() not in on_disk


@pytest.mark.parametrize(
    ("sent", "offers_days", "accepted"),
    [
        (None, True, {"confirmed", "likely", "user-report"}),
        (None, False, set()),
        ("likely", False, {"confirmed", "negative"}),
        ("user-report", False, {"confirmed", "likely", "negative"}),
        ("likely", True, {"confirmed", "likely", "user-report", "negative"}),
        ("confirmed", False, set()),
    ],
)
async def test_a_device_accepts_what_something_can_follow_from(
    device: Device, sent: str | None, accepted: set[str], *, offers_days: bool
) -> None:
    held = await device.database.read(changeable, device.keyring, TODAY)
    assert len(held) == 7
    keys = [] if sent is None else [replace(key, sent=TestType(sent)) for key in held]
    assert set(acceptable(keys, offers_days=offers_days)) == accepted
    assert all(changing_to(keys, finding) for finding in set(acceptable(keys, offers_days=False)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_person_reads_what_the_code_says_what_is_sent_and_what_follows(language: str) -> None:
    before, since = tuple(days(14, 15)), tuple(days(16))
    code = offer_in_words(Offer("https://a.example", since, changed=before), language)
    assert "https://a.example" in code
    assert "2025" not in code  # no day: which ones depends on the code
    confirmed = offer_in_words(
        Offer("https://a.example", since, frozenset(days(15)), before, TestType.CONFIRMED), language
    )
    assert ("2025-06-14" in confirmed, "2025-06-15" in confirmed, "2025-06-16" in confirmed) == (True, False, True)
    withdrawn = offer_in_words(Offer("https://a.example", (), frozenset(), before, TestType.NEGATIVE), language)
    words = {"en": ("the test is negative", "take the warning back"), "vi": ("xét nghiệm âm tính", "rút lại cảnh báo")}
    assert all(word in withdrawn for word in (*words[language], "2025-06-14, 2025-06-15", "https://a.example"))
