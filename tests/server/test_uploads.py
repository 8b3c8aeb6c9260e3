import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select

from forewarn_protocol.feeds import FeedHead
from forewarn_protocol.sealed_uploads import SEALED_BYTES
from forewarn_protocol.verification import VERIFICATION_ERRORS
from forewarn_server import cli
from forewarn_server.accounts.api_keys import Role, add
from forewarn_server.config import ServerSettings
from forewarn_server.configuration.issuing import configuration
from forewarn_server.keyrings.changing import revoke_key, rotate_key
from forewarn_server.keyrings.policies import Use
from forewarn_server.problems import ANSWER_BYTES
from forewarn_server.store.exposure_tables import keys as keys_table
from forewarn_server.store.exposure_tables import publishes
from forewarn_server.store.registry_tables import audit
from forewarn_shell import command_line
from tests.byte_scan import all_of, found, none_of
from tests.server.hand_clock import NOON, HandClock
from tests.server.publish_routes import NOW, count, stored
from tests.server.reporting_phone import HMAC_KEY, Phone, b64, day_key, published
from tests.server.running_server import Reply, RunningServer, running
from tests.server.sealed_upload import pass_on, seal, sealed_case

HOUR_S = 3600


def told(reply: Reply) -> dict[str, Any]:
    return {name: value for name, value in reply.json.items() if name != "padding"}


def assert_refused(reply: Reply, code: str) -> None:
    """The same words whatever was wrong inside."""
    assert told(reply) == {"error": VERIFICATION_ERRORS[code].sentence, "errorCode": code}
    assert reply.status == VERIFICATION_ERRORS[code].status


async def acts(server: RunningServer) -> list[tuple[str, str, str]]:
    async with server.context.registry.reading() as connection:
        rows = await connection.execute(
            select(audit.c.actor, audit.c.act, audit.c.detail).where(audit.c.act == "upload")
        )
        return [tuple(row) for row in rows.all()]


async def test_what_is_sealed_is_published_as_if_the_phone_had_sent_it(server: RunningServer) -> None:
    online = Phone(server)
    await online.publish(keys := online.past_keys())
    _, others, sealed = await sealed_case(server)
    reply = await pass_on(server, sealed)
    assert (reply.status, told(reply)) == (200, {"alreadyPublished": False})
    rows = await stored(server)
    secret = {"key", "revision_tag", "report_group"}
    by_start = [
        {
            rows[key_bytes(key)].rolling_start: {
                name: value for name, value in rows[key_bytes(key)]._mapping.items() if name not in secret
            }
            for key in each
        }
        for each in (keys, others)
    ]
    assert by_start[0] == by_start[1]
    assert len(rows) == 6


def key_bytes(key: dict[str, Any]) -> bytes:
    return base64.b64decode(key["key"])


async def test_a_file_that_comes_again_is_published_once(server: RunningServer) -> None:
    _, _, sealed = await sealed_case(server)
    assert told(await pass_on(server, sealed)) == {"alreadyPublished": False}
    server.clock.advance(5 * HOUR_S)
    assert told(await pass_on(server, sealed)) == {"alreadyPublished": True}
    assert await count(server, keys_table) == 3
    assert await count(server, publishes) == 1


async def test_twenty_copies_at_once_are_published_once(server: RunningServer) -> None:
    _, _, sealed = await sealed_case(server)
    replies = await asyncio.gather(*(pass_on(server, sealed) for _ in range(20)))
    assert [reply.status for reply in replies] == [200] * 20
    assert sum(not reply.json["alreadyPublished"] for reply in replies) == 1
    assert await count(server, keys_table) == 3


async def test_a_file_and_the_phone_itself_publish_once_whichever_comes_first(server: RunningServer) -> None:
    phone, keys, sealed = await sealed_case(server)
    await pass_on(server, sealed)
    late = await phone.publish(keys)
    assert (late.status, late.json["warnings"], late.json["insertedExposures"]) == (200, ["already published"], 0)
    assert late.json["revisionToken"]
    phone, keys, sealed = await sealed_case(server)
    assert (await phone.publish(keys)).json["insertedExposures"] == 3
    assert told(await pass_on(server, sealed)) == {"alreadyPublished": True}
    assert await count(server, keys_table) == 6


async def test_a_file_that_is_changed_cut_off_or_for_somebody_else_is_invalid(server: RunningServer) -> None:
    phone, keys, sealed = await sealed_case(server)
    stranger = X25519PrivateKey.generate().public_key()
    wrong = {
        "changed": sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
        "cut off": sealed[:-1],
        "longer": sealed + b"\0",
        "empty": b"",
        "plain": json.dumps(keys).encode().ljust(SEALED_BYTES),
        "another region": seal(server, keys, phone.token, region="de"),
        "another key": seal(server, keys, phone.token, key=stranger),
        "no keys": seal(server, [{"key": 1}], phone.token),
        "no HMAC key": seal(server, keys, phone.token, hmacKey="AAAA"),
    }
    for data in wrong.values():
        assert_refused(await pass_on(server, data), "upload_invalid")
    assert await count(server, keys_table) == 0
    # Positive control: the same keys and token, whole and for this server.
    assert (await pass_on(server, sealed)).status == 200


async def test_a_body_that_is_too_large_or_of_another_kind_is_refused_by_its_outside(server: RunningServer) -> None:
    _, _, sealed = await sealed_case(server)
    assert (await pass_on(server, bytes(64 * 1024 + 1))).status == 413
    assert (await pass_on(server, sealed, content_type="application/json")).status == 415
    assert (await pass_on(server, sealed, content_encoding="gzip")).status == 415
    assert await acts(server) == []


@pytest.mark.parametrize(
    ("made_s", "arrives_s", "code"),
    [
        (NOON, 24 * HOUR_S - 1, None),
        (NOON - HOUR_S, 23 * HOUR_S, "upload_expired"),
        (NOON - 24 * HOUR_S, 0, "upload_expired"),
        (NOON + HOUR_S, 0, None),
        (NOON + HOUR_S + 1, 0, "upload_expired"),
        (NOON + HOUR_S, 24 * HOUR_S, "token_expired"),
    ],
)
async def test_a_file_counts_for_24_hours_and_no_longer_than_its_token(
    server: RunningServer, made_s: int, arrives_s: int, code: str | None
) -> None:
    _, _, sealed = await sealed_case(server, made_s=made_s)
    server.clock.advance(arrives_s)
    reply = await pass_on(server, sealed)
    if code is None:
        assert told(reply) == {"alreadyPublished": False}
    else:
        assert_refused(reply, code)
        assert await count(server, keys_table) == 0


async def test_a_token_vouches_for_one_set_of_keys(server: RunningServer) -> None:
    phone, keys, _ = await sealed_case(server)
    assert (await phone.publish(keys)).status == 200
    assert_refused(await pass_on(server, seal(server, phone.past_keys(), phone.token)), "token_invalid")
    assert_refused(await pass_on(server, seal(server, keys, "nobody's token")), "token_invalid")
    assert await count(server, keys_table) == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"temporaryExposureKeys": [day_key(NOW - 16 * 144 - 144)]},
        {"temporaryExposureKeys": [day_key(NOW - 400), day_key(NOW - 300)]},
        {"temporaryExposureKeys": []},
        {"healthAuthorityID": "de"},
        {"revisionToken": "AAAA"},
    ],
)
async def test_why_keys_cannot_be_published_is_not_told_to_who_passes_them_on(
    server: RunningServer, fault: dict[str, Any]
) -> None:
    phone, keys, _ = await sealed_case(server)
    assert_refused(await pass_on(server, seal(server, keys, phone.token, **fault)), "upload_refused")
    assert await count(server, keys_table) == 0


async def test_the_phone_itself_is_told_why(server: RunningServer) -> None:
    """Positive control for the test above: there is a reason, and it speaks of the keys."""
    phone, _, _ = await sealed_case(server)
    reply = await phone.publish([day_key(NOW - 400), day_key(NOW - 300)])
    assert "keys with different starts" in reply.json["error"]


async def test_keys_published_before_are_refused_without_their_reason(server: RunningServer) -> None:
    keys = Phone(server).past_keys()
    await published(server, keys)
    sealed = seal(server, keys, await server.new_token())
    assert_refused(await pass_on(server, sealed), "upload_refused")


async def test_a_key_that_breaks_a_rule_costs_only_itself_and_nobody_hears_of_it(server: RunningServer) -> None:
    phone, keys, _ = await sealed_case(server)
    sealed = seal(server, [*keys, day_key(NOW - 16 * 144 - 144)], phone.token)
    assert told(await pass_on(server, sealed)) == {"alreadyPublished": False}
    assert await count(server, keys_table) == 3


async def test_only_an_issuer_passes_uploads_on(server: RunningServer) -> None:
    _, _, sealed = await sealed_case(server)
    _, admin = await add(server.context, "operator", Role.ADMIN)
    for headers in ({"x_api_key": admin}, {"x_api_key": "unknown"}):
        assert_refused(await pass_on(server, sealed, **headers), "unauthorized")
    nobody = await server.send("POST", "/api/upload", sealed, content_type="application/octet-stream")
    assert_refused(nobody, "unauthorized")
    assert await acts(server) == []
    assert await count(server, keys_table) == 0


async def test_the_audit_says_who_passed_on_an_upload_and_nothing_of_what_was_in_it(server: RunningServer) -> None:
    phone, keys, sealed = await sealed_case(server)
    for data in (sealed, sealed, sealed[:-1] + b"\0", sealed[:-1]):
        await pass_on(server, data)
    # The last one was no upload by its size alone.
    assert await acts(server) == [("api key 1", "upload", "1 sealed upload")] * 3
    data = server.context.settings.data
    texts = [key["key"].encode() for key in keys]
    secrets = {
        "keys": [*texts, *map(key_bytes, keys)],
        "token": [phone.token.encode()],
        "file": [sealed[:32], sealed[-32:]],
        "HMAC key": [HMAC_KEY, b64(HMAC_KEY).encode()],
    }
    registry = {path.name: path.read_bytes() for path in data.glob("registry.db*")}
    (data / "apart").mkdir()
    for name, content in registry.items():
        (data / "apart" / name).write_bytes(content)
    assert found(data / "apart", secrets) == none_of(secrets)
    # The same search finds the published keys where they belong, and no file that was passed on.
    assert found(data, secrets) == {"keys": 3, "token": 0, "file": 0, "HMAC key": 0}
    (data / "apart" / "planted").write_bytes(b"".join(b"".join(values) for values in secrets.values()))
    assert found(data / "apart", secrets) == all_of(secrets)


async def test_answers_have_one_size(server: RunningServer) -> None:
    phone, keys, sealed = await sealed_case(server)
    replies = [
        await pass_on(server, sealed),
        await pass_on(server, sealed),
        await pass_on(server, sealed[:-1]),
        await pass_on(server, seal(server, phone.past_keys(), phone.token)),
        await pass_on(server, seal(server, keys, phone.token, healthAuthorityID="de")),
    ]
    assert {len(reply.body) for reply in replies} == {ANSWER_BYTES}


async def test_an_upload_key_is_told_to_devices_and_changed_with_an_overlap(server: RunningServer) -> None:
    head = FeedHead(1, NOON, NOON + 1)
    keys = server.context.keys
    before = keys.upload.active
    assert configuration(server.context, head).sealing_key() == before.private.public_key()
    _, _, sealed = await sealed_case(server)
    await rotate_key(server.context, Use.UPLOAD)
    assert keys.upload.active.name == "v2"
    assert configuration(server.context, head).sealing_key() == keys.upload.active.private.public_key()
    assert told(await pass_on(server, sealed)) == {"alreadyPublished": False}
    # What is sealed to a key that was stolen is nobody's any more.
    _, _, sealed = await sealed_case(server, key=before.private.public_key())
    await revoke_key(server.context, Use.UPLOAD, "v1")
    assert_refused(await pass_on(server, sealed), "upload_invalid")


def test_an_upload_is_passed_on_at_the_command_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = command_line.run(cli.app, "forewarn-server", [str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    file = tmp_path / "keys.sealed"
    file.write_bytes(bytes(SEALED_BYTES))
    code, _, err = call("upload", file, "--data", data)
    assert (code, err.count("\n")) == (1, 1)
    assert "no sealed upload for this server" in err
    file.write_bytes(bytes(SEALED_BYTES + 1))
    assert call("upload", file, "--data", data)[0] == 2
    assert call("upload", tmp_path / "nothing", "--data", data)[0] == 2
    assert call("upload", file)[0] == 2


async def test_the_command_line_publishes_a_file_once(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(ServerSettings.load(data), HandClock(time.time())) as server:
        _, _, sealed = await sealed_case(server)
        (tmp_path / "keys.sealed").write_bytes(sealed)
        arguments = ["upload", str(tmp_path / "keys.sealed"), "--data", str(data)]
        for said in ("published\n", "already published, nothing was added\n"):
            # A command runs an event loop of its own, beside the running server.
            assert await asyncio.to_thread(command_line.run, cli.app, "forewarn-server", arguments) == 0
            assert capsys.readouterr().out == said
        assert await asyncio.to_thread(command_line.run, cli.app, "forewarn-server", [*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"alreadyPublished": True}
        assert await acts(server) == [("command line", "upload", "1 sealed upload")] * 3
        assert await count(server, keys_table) == 3
