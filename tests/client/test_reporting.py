import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from forewarn_client import report_state
from forewarn_client.connection import Answer
from forewarn_client.device import Device
from forewarn_client.forgetting import forget
from forewarn_client.offering import Offer, Wish
from forewarn_client.report_requests import CERTIFICATE_BYTES, PUBLISH_BYTES, VERIFY_BYTES
from forewarn_client.reporting import Outcome, as_issued, report
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.errors import BadInput, ForewarnError, Missing, Refused
from forewarn_protocol.intervals import Interval, day_of, interval_at, midnight
from forewarn_protocol.publishing import PublishRequest
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer, serving
from tests.client.meetings import phone

CODE = "12345678"
LONG_CODE = "abcd2345efgh6789"
TODAY = date(2025, 6, 16)
NOON = interval_at(NOON_S)
STEPS = ("/api/verify", "/api/certificate", "/v1/publish")


def yes(_: Offer) -> bool:
    return True


@pytest.fixture
async def server(clock: VirtualClock) -> AsyncIterator[HonestServer]:
    async with serving(clock) as running:
        running.codes[CODE] = {}
        running.codes[LONG_CODE] = {}
        yield running


@pytest.fixture
async def device(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that has spoken on each of the last ten days and today."""
    async with phone(server, tmp_path / "phone", clock) as opened:
        await speak(opened, range(10, -1, -1))
        yield opened


async def speak(device: Device, days_ago: range) -> None:
    for days in days_ago:
        assert await device.keyring.next_identifier(Interval(NOON - 144 * days)) is not None


def published(server: HonestServer) -> list[PublishRequest]:
    return [PublishRequest.parse(body) for path, body in server.bodies if path == "/v1/publish"]


def days_of(request: PublishRequest) -> list[date]:
    return sorted(day_of(Interval(key.rolling_start_number)) for key in request.keys)


def days(*numbers: int) -> list[date]:
    return [date(2025, 6, number) for number in numbers]


async def test_a_code_publishes_the_days_from_two_before_the_default_onset_on(
    device: Device, server: HonestServer
) -> None:
    assert await report(device, CODE, consent=yes) is Outcome.SENT
    (request,) = published(server)
    # The server assumes an onset four days ago where none is known: two days before that is the 10th.
    assert days_of(request) == days(10, 11, 12, 13, 14, 15, 16)
    assert request.symptom_onset_interval is None
    assert request.health_authority_id == "vn.health"


async def test_earlier_keys_are_whole_and_todays_is_cut_after_its_last_word(
    device: Device, server: HonestServer
) -> None:
    await device.keyring.next_identifier(Interval(NOON + 1))
    await report(device, CODE, consent=yes)
    (request,) = published(server)
    periods = {key.rolling_start_number: key.rolling_period for key in request.keys}
    assert periods.pop(midnight(NOON)) == 72 + 2
    assert set(periods.values()) == {144}
    taken = await device.keyring.next_identifier(Interval(NOON + 1))
    assert taken is not None
    assert (taken[0].rolling_start, taken[1]) == (NOON + 2, NOON + 2)
    assert taken[0].key not in server.stored_keys()


@pytest.mark.parametrize(("onset", "first"), [(TODAY, 14), (date(2025, 6, 10), 8), (date(2025, 6, 3), 6)])
async def test_a_given_onset_decides_about_the_days(
    device: Device, server: HonestServer, onset: date, first: int
) -> None:
    await report(device, CODE, onset=onset, consent=yes)
    (request,) = published(server)
    assert days_of(request)[0] == date(2025, 6, first)
    assert request.symptom_onset_interval == (onset - date(1970, 1, 1)).days * 144


async def test_days_that_the_person_drops_are_not_sent_and_todays_key_speaks_on(
    device: Device, server: HonestServer
) -> None:
    await report(device, CODE, drop_days=days(12, 16), consent=yes)
    (request,) = published(server)
    assert days_of(request) == days(10, 11, 13, 14, 15)
    taken = await device.keyring.next_identifier(Interval(NOON + 1))
    assert taken is not None
    assert taken[0].rolling_start == midnight(NOON)


async def test_the_keys_are_sent_in_the_order_of_their_bytes(device: Device, server: HonestServer) -> None:
    await report(device, CODE, consent=yes)
    keys = [key.key_bytes for key in published(server)[0].keys]
    assert keys == sorted(keys)


async def test_consent_is_asked_with_server_and_days_before_anything_leaves_the_device(
    device: Device, server: HonestServer
) -> None:
    asked: list[Offer] = []

    def no(offer: Offer) -> bool:
        assert server.asked == []
        asked.append(offer)
        return False

    assert await report(device, CODE, drop_days=days(11), consent=no) is Outcome.DECLINED
    assert server.asked == []
    assert [offer.server for offer in asked] == [server.url]
    assert list(asked[0].days) == days(10, 12, 13, 14, 15, 16)
    # The code is as good as before, and so are the keys.
    taken = await device.keyring.next_identifier(Interval(NOON + 1))
    assert taken is not None
    assert taken[0].rolling_start == midnight(NOON)
    assert await report(device, CODE, consent=yes) is Outcome.SENT


@pytest.mark.parametrize(("recorded", "times", "first"), [("2025-06-14", 1, 12), ("2025-06-09", 2, 7)])
async def test_the_authoritys_date_counts_and_more_days_are_asked_for_again(
    device: Device, server: HonestServer, recorded: str, times: int, first: int
) -> None:
    server.codes[CODE]["symptom_date"] = recorded
    offers: list[Offer] = []

    def note(offer: Offer) -> bool:
        offers.append(offer)
        return True

    assert await report(device, CODE, consent=note) is Outcome.SENT
    assert len(offers) == times
    assert days_of(published(server)[0])[0] == date(2025, 6, first)
    if times == 2:
        assert list(offers[1].days) == days_of(published(server)[0])


async def test_more_days_than_were_agreed_to_are_not_sent(device: Device, server: HonestServer) -> None:
    server.codes[CODE]["symptom_date"] = "2025-06-09"
    answers = iter([True, False])
    assert await report(device, CODE, consent=lambda _: next(answers)) is Outcome.DECLINED
    assert published(server) == []
    # The token is kept: the same code, with a day less.
    assert await report(device, CODE, drop_days=days(7), consent=yes) is Outcome.SENT
    assert days_of(published(server)[0])[0] == date(2025, 6, 8)
    assert server.count("/api/verify") == 1


@pytest.mark.parametrize("recorded", ["2025-06-30", "2024-01-01"])
async def test_an_impossible_date_of_the_authority_does_not_count(
    device: Device, server: HonestServer, recorded: str
) -> None:
    server.codes[CODE]["symptom_date"] = recorded
    await report(device, CODE, consent=yes)
    assert days_of(published(server)[0])[0] == date(2025, 6, 10)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_costs_neither_the_code_nor_a_second_publish(
    device: Device, server: HonestServer, step: str, times: int
) -> None:
    server.spoil(step, *[lambda: None] * times)
    for _ in range(times):
        with pytest.raises(Missing, match="nothing is lost") as raised:
            await report(device, CODE, consent=yes)
        assert raised.value.exit_code == 3
    assert await report(device, CODE, consent=yes) is Outcome.SENT
    assert len(server.published) == 1
    assert server.count(step) == times + 1
    fingerprints = {request.fingerprint() for request in published(server)}
    assert len(fingerprints) == 1
    assert len(server.stored_keys()) == 7


@pytest.mark.parametrize("step", STEPS)
async def test_a_process_that_dies_at_any_step_goes_on_where_it_was(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, step: str
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(3, -1, -1))
        task = asyncio.create_task(report(device, CODE, consent=yes))
        server.on_request = lambda: task.cancel() if server.asked[-1] == step else None
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError)
        server.on_request = None
    await clock.run_for(3600)
    async with phone(server, tmp_path, clock) as device:
        await device.keyring.next_identifier(Interval(NOON + 6))  # the daemon has spoken on meanwhile
        assert await report(device, CODE, consent=yes) is Outcome.SENT
    assert len(server.published) == 1
    assert len({request.fingerprint() for request in published(server)}) == 1
    assert len(server.stored_keys()) == 4


async def test_a_failing_server_loses_nothing(device: Device, server: HonestServer) -> None:
    server.spoil("/v1/publish", lambda: web.Response(status=503, body=b"<html>"))
    with pytest.raises(Missing, match="nothing is lost"):
        await report(device, CODE, consent=yes)
    assert await report(device, CODE, consent=yes) is Outcome.SENT


async def test_the_same_code_again_sends_nothing(device: Device, server: HonestServer) -> None:
    await report(device, CODE, consent=yes)
    server.asked.clear()
    assert await report(device, f"{CODE[:4]} {CODE[4:]}", consent=yes) is Outcome.ALREADY
    assert server.asked == []


async def test_a_later_code_sends_only_what_was_not_sent(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    await report(device, CODE, consent=yes)
    await clock.run_for(DAY_S)
    await device.keyring.next_identifier(Interval(NOON + 144))
    assert await report(device, LONG_CODE, consent=yes) is Outcome.SENT
    first, second = published(server)
    assert days_of(second) == days(17)
    assert not {key.key for key in first.keys} & {key.key for key in second.keys}


async def test_two_commands_at_once_publish_one_set_of_keys(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as one, phone(server, tmp_path, clock) as other:
        await speak(one, range(3, -1, -1))
        outcomes = await asyncio.gather(report(one, CODE, consent=yes), report(other, CODE, consent=yes))
    assert set(outcomes) <= {Outcome.SENT, Outcome.ALREADY}
    assert len({request.fingerprint() for request in published(server)}) == 1
    assert len(server.published) == 1


async def test_a_report_that_another_command_finishes_while_the_person_reads_asks_for_nothing(
    device: Device, server: HonestServer, clock: VirtualClock
) -> None:
    """What is left of it, an emptied nonce, would be refused as somebody else's claim of the code."""

    async def finish() -> None:
        async with Device.open(device.settings, clock) as other:
            await other.database.write(report_state.begin, other.vault, "vn", CODE, TODAY)
            await other.database.write(report_state.finish, other.vault, CODE, "a revision token")

    def reads(_: Offer) -> bool:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, finish()).result()
        return True

    assert await report(device, CODE, consent=reads) is Outcome.ALREADY
    assert server.asked == []


async def test_a_wrong_code_leaves_the_right_one_usable(device: Device) -> None:
    with pytest.raises(Refused, match="check its digits") as raised:
        await report(device, "87654321", consent=yes)
    assert (raised.value.code, raised.value.exit_code) == ("code_invalid", 1)
    assert await report(device, CODE, consent=yes) is Outcome.SENT


async def test_another_phones_claim_of_a_code_is_told_as_used(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    for name in ("one", "two"):
        async with phone(server, tmp_path / name, clock) as device:
            await speak(device, range(2, -1, -1))
            if name == "one":
                await report(device, CODE, consent=yes)
            else:
                with pytest.raises(Refused, match="already used"):
                    await report(device, CODE, consent=yes)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (("code_invalid", 400), {"en": "check its digits", "vi": "kiểm tra lại"}),
        (("code_expired", 400), {"en": "expired", "vi": "hết hạn"}),
        (("token_expired", 400), {"en": "24 hours", "vi": "24 giờ"}),
        (("unsupported_test_type", 412), {"en": "takes a report back", "vi": "rút lại"}),
        (("invalid_revision_token", 400), {"en": "stays as it is", "vi": "giữ nguyên"}),
        (("quota_exceeded", 429), {"en": "wait an hour", "vi": "chờ một giờ"}),
        (("something_new", 400), {"en": "(something_new)", "vi": "(something_new)"}),
    ],
)
async def test_a_refusal_is_one_sentence_that_says_what_to_do(
    device: Device, server: HonestServer, language: str, refusal: tuple[str, int], words: dict[str, str]
) -> None:
    error, status = refusal
    server.codes[CODE] |= {"error": error, "status": status}
    speaking = replace(device, settings=device.settings.model_copy(update={"language": language}))
    with pytest.raises(Refused) as raised:
        await report(speaking, CODE, consent=yes)
    assert words[language] in raised.value.message
    assert CODE not in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("status", [400, 403, 404, 429])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error":"x","errorCode":"\\u001b[2J","padding":""}'])
async def test_a_refusal_without_a_word_of_the_protocol_prints_none_of_it(
    device: Device, server: HonestServer, status: int, body: bytes
) -> None:
    server.spoil("/api/verify", lambda: web.Response(status=status, body=body))
    with pytest.raises(Refused) as raised:
        await report(device, CODE, consent=yes)
    assert "\x1b" not in str(raised.value)
    assert ("wait an hour" if status == 429 else f"HTTP {status}") in raised.value.message


async def test_keys_that_the_server_did_not_take_are_told(device: Device, server: HonestServer) -> None:
    partly = {"revisionToken": "t", "insertedExposures": 6, "code": "partial_failure", "error": "key 3: too old"}
    server.spoil("/v1/publish", lambda: web.json_response(partly))
    assert await report(device, CODE, consent=yes) is Outcome.PARTLY
    assert await report(device, CODE, consent=yes) is Outcome.ALREADY


@pytest.mark.parametrize("code", ["", "1234567", "123456789", "abcdefgh", "a" * 17, "1234-567x", "\uff11" * 8])
async def test_what_cannot_be_a_code_is_not_sent(device: Device, server: HonestServer, code: str) -> None:
    with pytest.raises(BadInput, match="8 digits") as raised:
        await report(device, code, consent=yes)
    assert not code or code not in raised.value.message
    assert server.asked == []


@pytest.mark.parametrize("typed", ["1234 5678", "1234-5678", " 12345678 "])
async def test_a_code_may_be_typed_in_groups(device: Device, typed: str) -> None:
    assert await report(device, typed, consent=yes) is Outcome.SENT


async def test_a_long_code_may_be_typed_in_capitals_and_groups(device: Device) -> None:
    assert await report(device, "ABCD-2345-EFGH-6789", consent=yes) is Outcome.SENT


@pytest.mark.parametrize("onset", [TODAY + timedelta(days=1), TODAY - timedelta(days=15), date(1970, 1, 1)])
async def test_an_impossible_onset_is_refused(device: Device, server: HonestServer, onset: date) -> None:
    with pytest.raises(BadInput, match="last 14 days"):
        await report(device, CODE, onset=onset, consent=yes)
    assert server.asked == []


async def test_a_dropped_day_that_is_not_offered_is_refused(device: Device, server: HonestServer) -> None:
    with pytest.raises(BadInput, match=r"2025-06-02 is not among the days .*2025-06-10"):
        await report(device, CODE, drop_days=days(2), consent=yes)
    assert server.asked == []


async def test_with_nothing_to_send_the_code_is_not_used(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as silent:
        with pytest.raises(BadInput, match="no key left"):
            await report(silent, CODE, consent=yes)
        await speak(silent, range(1, -1, -1))
        with pytest.raises(BadInput, match="no key left"):
            await report(silent, CODE, drop_days=days(15, 16), consent=yes)
    assert server.asked == []


async def test_once_a_certificate_was_asked_for_the_days_are_fixed(device: Device, server: HonestServer) -> None:
    server.spoil("/v1/publish", lambda: None)
    with pytest.raises(Missing):
        await report(device, CODE, consent=yes)
    for wish in ({"drop_days": days(12)}, {"onset": TODAY}):
        with pytest.raises(BadInput, match="has fixed the days"):
            await report(device, CODE, consent=yes, **wish)  # type: ignore[arg-type]
    assert len(published(server)) == 1
    assert await report(device, CODE, consent=yes) is Outcome.SENT


@pytest.mark.parametrize("code", [CODE, LONG_CODE])
@pytest.mark.parametrize("spoken", [1, 7])
async def test_every_request_has_its_one_size(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, code: str, spoken: int
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await speak(device, range(spoken - 1, -1, -1))
        await report(device, code, consent=yes)
    assert {path: len(body) for path, body in server.bodies} == {
        "/api/verify": VERIFY_BYTES,
        "/api/certificate": CERTIFICATE_BYTES,
        "/v1/publish": PUBLISH_BYTES,
    }
    assert all(len(json.loads(body)["padding"]) >= 1024 for _, body in server.bodies)


async def secrets_of(device: Device, server: HonestServer) -> dict[str, bytes]:
    state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    secrets = {"code": CODE.encode(), "token": f"token-of-{CODE}".encode(), "nonce": state.nonce}
    secrets |= {f"key {key.hex()[:4]}": key for key in server.stored_keys()}
    return secrets | {"nonce in hex": state.nonce.hex().encode(), "HMAC key": state.hmac_key}


def readable(secrets: dict[str, bytes], where: bytes) -> set[str]:
    """Return which secrets stand in some bytes, as they are or in hexadecimal."""
    return {name for name, secret in secrets.items() if secret in where or secret.hex().encode() in where}


async def test_no_secret_is_printed_logged_or_readable_on_the_disk(
    device: Device, server: HonestServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        server.spoil("/v1/publish", lambda: None)
        with pytest.raises(Missing) as raised:
            await report(device, CODE, consent=yes)
        state = await device.database.read(report_state.load, device.vault)
        secrets = await secrets_of(device, server)
        await report(device, CODE, consent=yes)
        logging.getLogger("forewarn_client").debug("planted: %s", LONG_CODE)
    captured = capsys.readouterr()
    logged = "".join(record.getMessage() for record in caplog.records)
    shown = f"{raised.value!r}{state!r}{captured.out}{captured.err}{logged}".encode()
    on_disk = b"".join(path.read_bytes() for path in device.settings.data.iterdir())
    assert len(secrets) == 5 + 7
    assert readable(secrets, shown) == readable(secrets, on_disk) == set()
    # The same search finds what is there.
    assert readable({"planted": LONG_CODE.encode()}, shown) == {"planted"}
    assert readable({"path": b"/config/vn.json"}, on_disk) == {"path"}


async def test_when_all_is_sent_nothing_is_kept_that_could_send_it_again(device: Device) -> None:
    await report(device, CODE, consent=yes)
    state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    assert (state.token, state.spans, state.nonce, state.hmac_key) == (None, None, bytes(32), bytes(32))
    assert (state.done, state.revision_token) == (True, "a revision token")
    assert CODE not in repr(state)


@pytest.mark.usefixtures("device")
def test_what_the_server_answered_is_in_no_repr() -> None:
    assert "certificate" not in repr(Answer(200, b'{"certificate": "..."}'))


async def test_no_request_of_a_report_asks_for_a_compressed_answer(device: Device, server: HonestServer) -> None:
    """What inflates would pass any limit on what was sent."""
    assert await report(device, CODE, consent=yes) is Outcome.SENT
    assert set(STEPS) <= set(server.asked)
    assert set(server.encodings) == {"identity"}


async def test_without_a_server_nobody_is_asked_for_consent(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path / "phone", clock, server=None) as lonely:
        with pytest.raises(Missing, match="no server is set"):
            await report(lonely, CODE, consent=lambda _: pytest.fail("asked"))
    assert server.asked == []


async def test_a_report_is_forgotten_with_its_day(device: Device, clock: VirtualClock) -> None:
    await report(device, CODE, consent=yes)
    await device.trust.look()
    await clock.run_for(15 * DAY_S)
    # A forgetting that was cut off after the day's key was destroyed counts already.
    await device.database.write(device.vault.forget_before, TODAY + timedelta(days=1))
    assert await device.database.read(report_state.load, device.vault) is None
    assert await forget(device)
    assert await device.database.read(report_state.load, device.vault) is None


@given(st.text(max_size=40), st.dates() | st.none(), st.lists(st.dates(), max_size=3))
def test_whatever_a_person_types_only_the_family_of_errors_comes_out(
    code: str, onset: date | None, dropped: list[date]
) -> None:
    checks: list[Callable[[], Any]] = [
        lambda: as_issued(code, "en"),
        lambda: Wish(onset, frozenset(dropped)).checked(TODAY, "vi"),
    ]
    for check in checks:
        try:
            check()
        except ForewarnError as error:
            assert "\n" not in error.message  # noqa: PT017 - either outcome is right
