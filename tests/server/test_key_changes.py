"""The keys that only the server knows, changed and revoked between two steps of a person, a day at a time."""

import base64
from typing import Any

import pytest

from forewarn_server.hours import DAY_S
from forewarn_server.keyrings.changing import revoke_key, rotate_key
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.material import SecretKey
from forewarn_server.keyrings.policies import CERTIFICATE, REVISION, TOKEN, Use
from forewarn_server.keyrings.tending import tend_keys
from tests.byte_scan import all_of, found, none_of
from tests.server.publish_routes import INVALID_CERTIFICATE, assert_refused
from tests.server.published_files import let_pass
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import Reply, RunningServer

NONCE = base64.b64encode(bytes(32)).decode()
HMAC = base64.b64encode(bytes([2] * 32)).decode()


def is_refused(reply: Reply, code: str) -> bool:
    return reply.status == 400 and reply.json["errorCode"] == code


def later(server: RunningServer, seconds: int) -> None:
    """Let time pass and wake nobody."""
    server.clock.now_s += seconds


async def test_a_certificate_counts_though_its_key_was_rotated_and_not_once_it_is_revoked(
    server: RunningServer,
) -> None:
    waiting = [await Phone(server).request(Phone(server).past_keys()) for _ in range(2)]
    await rotate_key(server.context, Use.CERTIFICATE)
    assert (await server.post("/v1/publish", waiting[0])).status == 200
    await published(server)  # with the new key
    await revoke_key(server.context, Use.CERTIFICATE, "v1")
    assert_refused(await server.post("/v1/publish", waiting[1]), INVALID_CERTIFICATE)
    await published(server)


def test_no_certificate_outlives_the_overlap_of_its_key() -> None:
    assert CERTIFICATE.overlap_s > 15 * 60 + 60


async def revised(server: RunningServer, keys: list[dict[str, Any]], becomes: str, token: str) -> Reply:
    return await Phone(server).publish(keys, issue={"testType": becomes}, revisionToken=token)


async def test_a_revision_token_is_read_as_long_as_its_keys_can_be_revised_and_not_once_its_key_is_revoked(
    server: RunningServer,
) -> None:
    phone = Phone(server)
    keys = [phone.past_keys(1), phone.past_keys(1)]
    tokens = [(await published(server, each, issue={"testType": "likely"}))["revisionToken"] for each in keys]
    await rotate_key(server.context, Use.REVISION)
    later(server, 14 * DAY_S)
    reply = await revised(server, keys[0], "confirmed", tokens[0])
    assert (reply.status, reply.json["insertedExposures"]) == (200, 1)
    await revoke_key(server.context, Use.REVISION, "v1")
    assert_refused(await revised(server, keys[1], "confirmed", tokens[1]), "invalid_revision_token")
    # The answer of the first one was a token of the new key: it outlives the old one.
    more = phone.past_keys(1)
    assert (await revised(server, more, "likely", reply.json["revisionToken"])).status == 200


async def test_a_key_that_can_still_be_revised_never_outlives_the_overlap_of_its_token(server: RunningServer) -> None:
    """The youngest key of a publish ends with its day, and is too old to be published 15 days later."""
    assert REVISION.overlap_s >= DAY_S + 15 * DAY_S
    sent = Phone(server).past_keys(1)
    token = (await published(server, sent, issue={"testType": "likely"}))["revisionToken"]
    await rotate_key(server.context, Use.REVISION)
    later(server, REVISION.overlap_s)
    await tend_keys(server.context)
    assert_refused(await revised(server, sent, "confirmed", token), "invalid_revision_token")


async def test_a_publish_repeated_after_a_rotation_gets_the_token_that_its_keys_are_stored_under(
    server: RunningServer,
) -> None:
    phone = Phone(server)
    keys = phone.past_keys()
    body = await phone.request(keys, issue={"testType": "likely"})
    first = await server.post("/v1/publish", body)
    await rotate_key(server.context, Use.REVISION)
    again = await server.post("/v1/publish", body)
    assert (again.status, again.json["insertedExposures"]) == (200, 0)
    assert again.json["revisionToken"] != first.json["revisionToken"]  # the same one, proved with the new key
    reply = await revised(server, keys, "confirmed", again.json["revisionToken"])
    assert (reply.status, reply.json["insertedExposures"]) == (200, 3)


async def test_a_code_claimed_again_after_a_rotation_gives_the_same_token_and_none_once_that_key_is_revoked(
    server: RunningServer,
) -> None:
    claim = {"code": (await server.new_code())["longCode"], "nonce": NONCE}
    token = (await server.post("/api/verify", claim)).json["token"]
    await rotate_key(server.context, Use.TOKEN)
    later(server, DAY_S - 1)
    assert (await server.post("/api/verify", claim)).json["token"] == token
    certify = {"token": token, "ekeyhmac": HMAC}
    assert (await server.post("/api/certificate", certify)).status == 200
    await revoke_key(server.context, Use.TOKEN, "v1")
    assert is_refused(await server.post("/api/verify", claim), "code_invalid")
    assert is_refused(await server.post("/api/certificate", certify), "token_invalid")
    assert TOKEN.overlap_s > DAY_S


async def test_a_code_of_yesterday_is_found_with_yesterdays_key_and_not_once_that_is_revoked(
    server: RunningServer,
) -> None:
    today = server.context.keys.code_hash.active.name
    issued = [(await server.new_code())["longCode"] for _ in range(3)]
    later(server, DAY_S - 1)
    await tend_keys(server.context)
    assert server.context.keys.code_hash.active.name != today
    claim = {"code": issued[0], "nonce": NONCE}
    assert (await server.post("/api/verify", claim)).status == 200
    assert (await server.post("/api/verify", claim)).status == 200  # the nonce's hash is of that key, too
    await revoke_key(server.context, Use.CODE_HASH, today)
    assert is_refused(await server.post("/api/verify", {"code": issued[1]}), "code_invalid")
    assert (await server.post("/api/verify", {"code": (await server.new_code())["longCode"]})).status == 200


def written_down(key: SecretKey) -> dict[str, list[bytes]]:
    return {"raw": [key.secret], "as in its file": [base64.b64encode(key.secret)]}


@pytest.mark.parametrize("is_destroyed", [True, False], ids=["destroyed", "destruction switched off"])
async def test_the_key_of_a_days_codes_is_in_no_byte_under_data_three_days_after_it(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, *, is_destroyed: bool
) -> None:
    data, key = server.context.settings.data, server.context.keys.code_hash.active
    await server.new_code()
    in_its_file, nowhere = {"raw": 0, "as in its file": 1}, {"raw": 0, "as in its file": 0}
    if not is_destroyed:
        monkeypatch.setattr(KeyFolder, "_destroy", lambda *_: None)
    # The running server does all of it by itself.
    for _ in range(3):
        await let_pass(server, DAY_S)
        assert found(data, written_down(key)) == in_its_file
        assert found(data, written_down(key), "*.db*") == nowhere
        assert server.context.keys.code_hash.active != key
    await let_pass(server, DAY_S)
    assert found(data, written_down(key)) == (nowhere if is_destroyed else in_its_file)
    assert len(server.context.keys.code_hash.accepted) == 4


async def test_each_change_is_in_the_audit_without_the_key(server: RunningServer) -> None:
    key = server.context.keys.token.active
    await rotate_key(server.context, Use.TOKEN)
    await revoke_key(server.context, Use.TOKEN, "v1")
    acts = {"rotated": [b"rotate keytoken v2"], "revoked": [b"revoke keytoken v1"]}
    assert found(server.context.settings.data, acts, "registry.db*") == all_of(acts)
    assert found(server.context.settings.data, written_down(key)) == none_of(written_down(key))
