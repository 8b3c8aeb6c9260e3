import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import Refused
from forewarn_server.publish.revision import RevisionToken
from forewarn_server.signing_keys import SecretKey
from forewarn_server.store.exposure_tables import keys as keys_table
from forewarn_server.store.exposure_tables import publishes
from tests.server.publish_routes import assert_refused, count, stored
from tests.server.reporting_phone import Phone, b64, published
from tests.server.running_server import RunningServer


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
        RevisionToken.read(SecretKey("v1", bytes(32)), text)


def test_no_revision_token_stands_in_a_repr() -> None:
    token = RevisionToken.first(SecretKey("v1", bytes(32)), "a-jti", bytes(32))
    assert token.text not in repr(token)
    assert RevisionToken.read(SecretKey("v1", bytes(32)), token.text) == token
