import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from forewarn_protocol import publishing
from forewarn_protocol.errors import Refused
from forewarn_protocol.keys import ReportType
from forewarn_protocol.verification import TestType
from forewarn_server.config import ServerSettings
from forewarn_server.keyrings.living import Ring
from forewarn_server.keyrings.material import SecretKey
from forewarn_server.publish.revision import RevisionToken
from forewarn_server.setting_up import initialise
from forewarn_server.store.exposure_tables import keys as keys_table
from forewarn_server.store.exposure_tables import publishes
from tests.server.publish_routes import assert_refused, count, stored
from tests.server.reporting_phone import Phone, b64, published
from tests.server.running_server import Reply, RunningServer, running

DAY_S = 86_400


def later(server: RunningServer, seconds: int) -> None:
    """Let time pass and wake nobody: the server's own jobs would seal and forget beside the test."""
    server.clock.now_s += seconds


async def suspected(server: RunningServer, days: int = 3, **issue: object) -> tuple[list[dict[str, Any]], str]:
    """Let a new person publish as a suspected case; return the keys and the revision token."""
    keys = Phone(server).past_keys(days)
    answer = await published(server, keys, issue={"testType": "likely", **issue})
    return keys, answer["revisionToken"]


async def revise(server: RunningServer, keys: list[dict[str, Any]], becomes: str, token: str, **fields: Any) -> Reply:
    return await Phone(server).publish(keys, issue={"testType": becomes}, revisionToken=token, **fields)


async def becomes(server: RunningServer, keys: list[dict[str, Any]]) -> list[int | None]:
    """Return what each key was revised to, by the database."""
    rows = await stored(server)
    return [rows[base64.b64decode(key["key"])].revised_report_type for key in keys]


RING = Ring(SecretKey("v1", bytes(32)), (), (), ())


async def test_a_key_published_before_needs_its_revision_token(server: RunningServer) -> None:
    keys = Phone(server).past_keys()
    await published(server, keys)
    assert_refused(await Phone(server).publish(keys), "missing_revision_token")
    assert await count(server, publishes) == 1


@pytest.mark.parametrize("token", ["AAAA", "not base64", b64(bytes(48)), "=" * 64])
async def test_a_revision_token_that_this_server_never_made_is_invalid(server: RunningServer, token: str) -> None:
    keys = Phone(server).past_keys()
    await published(server, keys)
    assert_refused(await Phone(server).publish(keys, revisionToken=token), "invalid_revision_token")


async def test_the_token_of_another_server_is_invalid(server: RunningServer, tmp_path: Path) -> None:
    initialise(tmp_path / "abroad", "vn")
    async with running(ServerSettings.load(tmp_path / "abroad"), server.clock) as abroad:
        keys = Phone(server).past_keys()
        token = (await published(abroad, keys, issue={"testType": "likely"}))["revisionToken"]
        await published(server, keys, issue={"testType": "likely"})
        assert_refused(await revise(server, keys, "negative", token), "invalid_revision_token")
        # The same token at home.
        assert (await revise(abroad, keys, "negative", token)).status == 200


async def test_another_persons_revision_token_is_invalid(server: RunningServer) -> None:
    mine, others = Phone(server).past_keys(), Phone(server).past_keys()
    await published(server, mine)
    token = (await published(server, others))["revisionToken"]
    assert_refused(await Phone(server).publish(mine, revisionToken=token), "invalid_revision_token")


TRANSITIONS = [
    ("likely", "confirmed", ""),
    ("likely", "negative", ""),
    ("likely", "user-report", "invalid_report_type_transition"),
    ("user-report", "confirmed", ""),
    ("user-report", "likely", ""),
    ("user-report", "negative", ""),
    ("confirmed", "likely", "invalid_report_type_transition"),
    ("confirmed", "negative", "invalid_report_type_transition"),
    ("confirmed", "user-report", "invalid_report_type_transition"),
]


@pytest.mark.parametrize(("old", "new", "refusal"), TRANSITIONS)
async def test_report_types_change_as_the_table_says(server: RunningServer, old: str, new: str, refusal: str) -> None:
    keys = Phone(server).past_keys()
    token = (await published(server, keys, issue={"testType": old}))["revisionToken"]
    reply = await Phone(server).publish(keys, issue={"testType": new}, revisionToken=token)
    if refusal:
        assert_refused(reply, refusal)
    else:
        assert reply.status == 200, reply.json
        assert reply.json["insertedExposures"] == 3
        assert reply.json["revisionToken"] == token


async def test_the_table_is_what_keeps_a_confirmed_case_confirmed(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: with the table open, a confirmed case is taken back."""
    keys = Phone(server).past_keys()
    token = (await published(server, keys))["revisionToken"]
    assert_refused(await revise(server, keys, "negative", token), "invalid_report_type_transition")
    monkeypatch.setitem(publishing.REVISIONS, TestType.CONFIRMED, frozenset({TestType.NEGATIVE}))
    assert (await revise(server, keys, "negative", token)).status == 200


async def test_what_was_withdrawn_never_comes_back(server: RunningServer) -> None:
    keys, token = await suspected(server)
    assert (await revise(server, keys, "negative", token)).status == 200
    for new in ("confirmed", "likely", "user-report"):
        assert_refused(await revise(server, keys, new, token), "key_already_revised")
    assert await becomes(server, keys) == [ReportType.REVOKED] * 3
    again = await revise(server, keys, "negative", token)
    assert (again.status, again.json["insertedExposures"]) == (200, 0)


async def test_what_keeps_a_withdrawn_key_withdrawn_is_that_its_revision_is_remembered(server: RunningServer) -> None:
    """Positive control: with that memory wiped, the withdrawn key becomes a confirmed one."""
    keys, token = await suspected(server)
    assert (await revise(server, keys, "negative", token)).status == 200
    async with server.context.exposure.writing() as connection:
        await connection.execute(update(keys_table).values(revised_report_type=None))
    assert (await revise(server, keys, "confirmed", token)).status == 200


async def test_a_key_is_revised_once(server: RunningServer) -> None:
    keys = Phone(server).past_keys()
    token = (await published(server, keys, issue={"testType": "user-report"}))["revisionToken"]
    await published(server, keys, issue={"testType": "likely"}, revisionToken=token)
    reply = await Phone(server).publish(keys, issue={"testType": "confirmed"}, revisionToken=token)
    assert_refused(reply, "key_already_revised")


async def test_a_token_also_adds_the_keys_of_later_days(server: RunningServer) -> None:
    keys = Phone(server).past_keys()
    token = (await published(server, keys))["revisionToken"]
    server.clock.advance(24 * 3_600)
    later = [*keys, Phone(server).past_keys(1)[0]]
    answer = await published(server, later, revisionToken=token)
    assert answer["insertedExposures"] == 1


async def test_one_request_confirms_mondays_keys_and_adds_those_of_the_days_since(server: RunningServer) -> None:
    monday, token = await suspected(server)
    later(server, 2 * DAY_S)
    since = Phone(server).past_keys(2)
    reply = await revise(server, [*monday, *since], "confirmed", token)
    assert (reply.status, reply.json["insertedExposures"], reply.json["revisionToken"]) == (200, 5, token)
    assert await becomes(server, monday) == [ReportType.CONFIRMED_TEST] * 3
    rows = await stored(server)
    assert {rows[base64.b64decode(key["key"])].report_type for key in since} == {ReportType.CONFIRMED_TEST}
    # The new keys hang by the same token, and say confirmed already.
    assert_refused(await revise(server, since, "negative", token), "invalid_report_type_transition")


async def test_some_keys_may_be_revised_while_the_others_stay(server: RunningServer) -> None:
    keys, token = await suspected(server)
    assert (await revise(server, keys[:1], "negative", token)).json["insertedExposures"] == 1
    assert await becomes(server, keys) == [ReportType.REVOKED, None, None]
    assert (await revise(server, keys[1:], "confirmed", token)).json["insertedExposures"] == 2
    # One key that can no longer change refuses them all: nothing is half done.
    more, other = await suspected(server)
    assert (await revise(server, more[:1], "confirmed", other)).status == 200
    assert_refused(await revise(server, more, "negative", other), "key_already_revised")
    assert await becomes(server, more) == [ReportType.CONFIRMED_TEST, None, None]


async def test_a_revision_whose_answer_was_lost_is_sent_again_and_is_the_same_revision(server: RunningServer) -> None:
    keys, token = await suspected(server)
    phone = Phone(server)
    first = await phone.publish(keys, issue={"testType": "negative"}, revisionToken=token)
    before = await stored(server)
    # The certificate has run out meanwhile: another one of the same token carries the same pair.
    later(server, 3_600)
    again = await phone.publish(keys, issue={"testType": "negative"}, revisionToken=token)
    assert (again.status, again.json["warnings"]) == (200, ["already published"])
    assert again.json["revisionToken"] == first.json["revisionToken"] == token
    assert await stored(server) == before
    assert await count(server, publishes) == 2
    # The same certificate for something else is no repeat.
    assert_refused(await phone.publish(keys, issue={"testType": "negative"}), "bad_request")


async def test_a_revision_without_an_onset_leaves_the_onset_as_it_was(server: RunningServer) -> None:
    """Four days before the second upload lie after the first days: they would turn from infectious to not."""
    keys, token = await suspected(server, days=6)
    first = {key: row.onset_days for key, row in (await stored(server)).items()}
    later(server, 6 * DAY_S)
    assert (await revise(server, keys, "confirmed", token)).status == 200
    assert {key: row.revised_onset_days for key, row in (await stored(server)).items()} == first
    assert set(first.values()) == {0}


async def test_a_revision_with_an_onset_of_its_own_corrects_it(server: RunningServer) -> None:
    keys, token = await suspected(server, days=6)
    later(server, 6 * DAY_S)
    onset = Phone(server).today
    assert (await revise(server, keys, "confirmed", token, symptomOnsetInterval=onset)).status == 200
    assert {row.revised_onset_days for row in (await stored(server)).values()} == {-14}


async def test_a_withdrawal_drops_the_keys_it_does_not_know_and_withdraws_the_others(server: RunningServer) -> None:
    keys, token = await suspected(server)
    reply = await revise(server, [*keys, *Phone(server).past_keys(5)[:1]], "negative", token)
    assert (reply.status, reply.json["code"], reply.json["insertedExposures"]) == (200, "partial_failure", 3)
    assert reply.json["warnings"] == ["keys 3: a negative result can only revise published keys"]
    assert await becomes(server, keys) == [ReportType.REVOKED] * 3
    assert await count(server, keys_table) == 3


async def test_a_key_older_than_15_days_is_revised_no_more_and_costs_no_other(server: RunningServer) -> None:
    keys, token = await suspected(server)
    later(server, 14 * DAY_S)
    reply = await revise(server, keys, "negative", token)
    assert (reply.json["code"], reply.json["insertedExposures"]) == ("partial_failure", 1)
    assert await becomes(server, keys) == [None, None, ReportType.REVOKED]
    later(server, DAY_S)
    assert_refused(await revise(server, keys, "negative", token), "bad_request")


async def test_a_negative_result_publishes_no_new_key(server: RunningServer) -> None:
    reply = await Phone(server).publish(Phone(server).past_keys(), issue={"testType": "negative"})
    assert_refused(reply, "invalid_report_type_transition")
    assert await count(server, keys_table) == 0


async def test_the_tags_of_one_persons_keys_have_nothing_in_common(
    server: RunningServer,
) -> None:
    await published(server)
    await published(server)
    tags = [row.revision_tag for row in (await stored(server)).values()]
    assert len(set(tags)) == len(tags) == 6


@given(st.text() | st.binary().map(b64))
def test_a_random_revision_token_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="revision token"):
        RevisionToken.read(RING, text)


def test_no_revision_token_stands_in_a_repr() -> None:
    token = RevisionToken.first(RING, "a-jti", bytes(32))
    assert token.text not in repr(token)
    assert RevisionToken.read(RING, token.text) == token
