import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import Missing
from forewarn_protocol.verification import VERIFICATION_ERRORS, IssueRequest
from forewarn_server import certificates
from forewarn_server.accounts.api_keys import COMMAND_LINE
from forewarn_server.codes.issuing import issue
from forewarn_server.config import ServerSettings
from forewarn_server.retention.forgetting import forget
from forewarn_server.store.engine import Database
from forewarn_server.store.exposure_tables import codes, tokens
from forewarn_server.store.registry_tables import issued
from tests.server.hand_clock import NOON, HandClock
from tests.server.running_server import Reply, RunningServer, running

UUID = "5dbb4b2c-3d44-4d16-9a52-1e2a6b1c8f01"
NONCE = base64.b64encode(bytes(32)).decode()
OTHER_NONCE = base64.b64encode(bytes([1] * 32)).decode()
HMAC = base64.b64encode(bytes([2] * 32)).decode()
OTHER_HMAC = base64.b64encode(bytes([3] * 32)).decode()


def assert_refused(reply: Reply, code: str, status: int | None = None) -> None:
    assert reply.json["errorCode"] == code, reply.json
    assert reply.status == (status or VERIFICATION_ERRORS[code].status)


async def test_a_short_code_has_8_digits_and_15_minutes_and_a_long_one_16_characters_and_a_day(
    server: RunningServer,
) -> None:
    issued = await server.new_code(symptomDate="2021-05-29", testDate="2021-05-30")
    assert len(issued["code"]) == 8
    assert issued["code"].isdigit()
    assert len(issued["longCode"]) == 16
    assert issued["longCode"].isalnum()
    assert issued["expiresAtTimestamp"] == NOON + 15 * 60
    assert issued["longExpiresAtTimestamp"] == NOON + 24 * 3600
    assert issued["expiresAt"] == "Mon, 31 May 2021 12:15:00 GMT"


@pytest.mark.parametrize(("form", "lives_s", "moment"), [("code", 15 * 60, "short"), ("longCode", 24 * 3600, "long")])
async def test_a_code_counts_until_its_last_second(server: RunningServer, form: str, lives_s: int, moment: str) -> None:
    in_time, late = await server.new_code(), await server.new_code()
    server.clock.advance(lives_s - 1)
    assert (await server.post("/api/verify", {"code": in_time[form]})).status == 200, moment
    server.clock.advance(1)
    assert_refused(await server.post("/api/verify", {"code": late[form]}), "code_expired")


async def test_verify_says_what_the_authority_knows(server: RunningServer) -> None:
    issued = await server.new_code(symptomDate="2021-05-29", testDate="2021-05-30", testType="likely")
    reply = await server.post("/api/verify", {"code": issued["code"], "accept": ["confirmed", "likely"]})
    assert reply.json["testtype"] == "likely"
    assert reply.json["symptomDate"] == "2021-05-29"


async def test_a_code_typed_with_spaces_hyphens_and_capitals_is_the_same_code(server: RunningServer) -> None:
    issued = await server.new_code()
    long_code = issued["longCode"].upper()
    typed = f" {long_code[:4]}-{long_code[4:8]} {long_code[8:]} "
    assert (await server.post("/api/verify", {"code": typed})).status == 200


async def test_either_form_spends_the_code(server: RunningServer) -> None:
    issued = await server.new_code()
    assert (await server.post("/api/verify", {"code": issued["longCode"]})).status == 200
    assert_refused(await server.post("/api/verify", {"code": issued["code"]}), "code_invalid")


async def test_a_code_without_nonce_is_spent_once(server: RunningServer) -> None:
    issued = await server.new_code()
    assert (await server.post("/api/verify", {"code": issued["code"]})).status == 200
    assert_refused(await server.post("/api/verify", {"code": issued["code"]}), "code_invalid")
    assert_refused(await server.post("/api/verify", {"code": issued["code"], "nonce": NONCE}), "code_invalid")


async def test_the_same_nonce_gets_the_same_token_and_another_nonce_none(server: RunningServer) -> None:
    code = (await server.new_code())["code"]
    first = await server.post("/api/verify", {"code": code, "nonce": NONCE})
    again = await server.post("/api/verify", {"code": code, "nonce": NONCE})
    assert first.status == again.status == 200
    assert first.json["token"] == again.json["token"]
    assert_refused(await server.post("/api/verify", {"code": code, "nonce": OTHER_NONCE}), "code_invalid")
    server.clock.advance(15 * 60)
    assert_refused(await server.post("/api/verify", {"code": code, "nonce": NONCE}), "code_expired")


async def test_two_codes_with_the_same_nonce_have_two_tokens(server: RunningServer) -> None:
    replies = [
        await server.post("/api/verify", {"code": (await server.new_code())["code"], "nonce": NONCE}) for _ in range(2)
    ]
    assert replies[0].json["token"] != replies[1].json["token"]


async def test_a_code_tried_fifty_times_at_once_is_spent_once(server: RunningServer) -> None:
    code = (await server.new_code())["code"]
    replies = await asyncio.gather(*(server.post("/api/verify", {"code": code}) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 49
    async with server.context.exposure.reading() as connection:
        assert len((await connection.execute(select(tokens))).all()) == 1


async def test_fifty_requests_at_once_with_one_nonce_all_get_the_one_token(server: RunningServer) -> None:
    code = (await server.new_code())["code"]
    replies = await asyncio.gather(*(server.post("/api/verify", {"code": code, "nonce": NONCE}) for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["token"] for reply in replies}) == 1


async def test_a_test_type_the_device_does_not_accept_leaves_the_code_unspent(server: RunningServer) -> None:
    code = (await server.new_code(testType="likely"))["code"]
    assert_refused(await server.post("/api/verify", {"code": code}), "unsupported_test_type")
    assert (await server.post("/api/verify", {"code": code, "accept": ["likely"]})).status == 200


@pytest.mark.parametrize("code", ["00000000", "", "x" * 16, "12345", "\u0661" * 8, "0" * 65])
async def test_an_unknown_code_is_invalid_whatever_it_looks_like(server: RunningServer, code: str) -> None:
    assert_refused(await server.post("/api/verify", {"code": code}), "code_invalid")


async def test_a_certificate_says_who_for_what_and_until_when(server: RunningServer) -> None:
    token = await server.new_token(symptomDate="2021-05-29")
    reply = await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})
    claims = certificates.read(
        server.context.settings, server.context.keys.certificate.accepted, reply.json["certificate"], now_s=NOON
    )
    assert (claims.iss, claims.aud, claims.iat, claims.exp) == ("vn", "forewarn/vn", NOON, NOON + 15 * 60)
    assert claims.report_type == "confirmed"
    assert claims.tekmac == bytes([2] * 32)
    assert claims.symptom_onset_interval == datetime(2021, 5, 29, tzinfo=UTC).timestamp() / 600
    header = json.loads(base64.urlsafe_b64decode(reply.json["certificate"].split(".")[0] + "=="))
    assert header == {"alg": "ES256", "kid": "v1", "typ": "JWT"}


async def test_without_symptoms_a_certificate_names_no_onset(server: RunningServer) -> None:
    token = await server.new_token(testDate="2021-05-29")
    reply = await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})
    payload = reply.json["certificate"].split(".")[1]
    assert "symptomOnsetInterval" not in json.loads(base64.urlsafe_b64decode(payload + "=="))


async def test_the_same_token_and_hmac_give_the_same_jti_with_a_new_expiry(server: RunningServer) -> None:
    token = await server.new_token()
    read = []
    for _ in range(2):
        reply = await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})
        now_s = server.context.now_s()
        certificate = reply.json["certificate"]
        read.append(
            certificates.read(
                server.context.settings, server.context.keys.certificate.accepted, certificate, now_s=now_s
            )
        )
        server.clock.advance(600)
    assert read[0].jti == read[1].jti
    assert read[1].exp == read[0].exp + 600
    assert_refused(await server.post("/api/certificate", {"token": token, "ekeyhmac": OTHER_HMAC}), "token_invalid")


async def test_fifty_hmacs_at_once_bind_a_token_to_one(server: RunningServer) -> None:
    token = await server.new_token()
    hmacs = [base64.b64encode(bytes([i] * 32)).decode() for i in range(50)]
    replies = await asyncio.gather(
        *(server.post("/api/certificate", {"token": token, "ekeyhmac": hmac}) for hmac in hmacs)
    )
    assert sorted(reply.status for reply in replies) == [200] + [400] * 49


async def test_a_token_counts_for_a_day(server: RunningServer) -> None:
    token = await server.new_token()
    server.clock.advance(24 * 3600 - 1)
    assert (await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})).status == 200
    server.clock.advance(1)
    assert_refused(await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC}), "token_expired")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"token": "0" * 64, "ekeyhmac": HMAC}, "token_invalid"),
        ({"token": "", "ekeyhmac": HMAC}, "token_invalid"),
        ({"token": "0" * 64, "ekeyhmac": "not base64"}, "hmac_invalid"),
        ({"token": "0" * 64, "ekeyhmac": base64.b64encode(bytes(31)).decode()}, "hmac_invalid"),
        ({"ekeyhmac": HMAC}, "bad_request"),
    ],
)
async def test_a_bad_token_or_hmac_has_its_own_code(server: RunningServer, message: dict[str, str], code: str) -> None:
    assert_refused(await server.post("/api/certificate", message), code)


async def test_a_token_is_not_forgotten_while_its_code_can_be_sent_again(server: RunningServer) -> None:
    message = {"code": (await server.new_code())["longCode"], "nonce": NONCE}
    token = (await server.post("/api/verify", message)).json["token"]
    server.clock.advance(24 * 3600 - 1)
    await forget(server.context)
    assert (await server.post("/api/verify", message)).json["token"] == token
    assert (await server.post("/api/certificate", {"token": token, "ekeyhmac": HMAC})).status == 200


async def test_neither_codes_nor_tokens_stand_in_the_databases(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID)
    token = await server.new_token()
    reply = await server.post("/api/verify", {"code": issued["code"], "nonce": NONCE})
    stored = b"".join(path.read_bytes() for path in server.context.settings.data.glob("*.db*"))
    assert UUID.encode() in stored  # the search finds what is there
    for secret in (issued["code"], issued["longCode"], token, reply.json["token"], server.issuer_key):
        assert secret.encode() not in stored
    assert bytes.fromhex(token) not in stored


async def test_one_uuid_is_one_code(server: RunningServer) -> None:
    first = await server.new_code(uuid=UUID)
    again = await server.staff("/api/issue", {"testType": "confirmed", "uuid": UUID.upper()})
    assert_refused(again, "uuid_already_exists", 409)
    assert (await server.post("/api/verify", {"code": first["code"]})).status == 200
    async with server.context.exposure.reading() as connection:
        assert len((await connection.execute(select(codes))).all()) == 1


async def test_ten_codes_may_be_asked_for_at_once_and_each_has_its_answer(server: RunningServer) -> None:
    await server.new_code(uuid=UUID)
    wanted = [{"testType": "confirmed"} for _ in range(9)] + [{"testType": "likely", "uuid": UUID}]
    reply = await server.staff("/api/batch-issue", {"codes": wanted})
    assert reply.status == 200
    answers = reply.json["codes"]
    assert len({answer["code"] for answer in answers[:9]}) == 9
    assert answers[9]["errorCode"] == "uuid_already_exists"
    eleven = await server.staff("/api/batch-issue", {"codes": [{"testType": "confirmed"}] * 11})
    assert_refused(eleven, "bad_request")


async def test_a_batch_with_one_malformed_entry_issues_nothing(server: RunningServer) -> None:
    for wrong in ({"testType": "perhaps"}, {"testType": "confirmed", "symptomDate": "2001-01-01"}, {}):
        reply = await server.staff("/api/batch-issue", {"codes": [{"testType": "confirmed"}, wrong]})
        assert reply.status == 400
    async with server.context.exposure.reading() as connection:
        assert (await connection.execute(select(codes))).all() == []


async def test_a_batch_that_is_refused_whole_has_the_status_of_its_refusal(server: RunningServer) -> None:
    await server.new_code(uuid=UUID)
    reply = await server.staff("/api/batch-issue", {"codes": [{"testType": "confirmed", "uuid": UUID}]})
    assert reply.status == 409
    assert reply.json["codes"][0]["errorCode"] == "uuid_already_exists"


@pytest.mark.parametrize("field", ["symptomDate", "testDate"])
@pytest.mark.parametrize(
    ("day", "status"),
    [
        ("2021-05-16", 400),
        ("2021-05-17", 200),
        ("2021-06-01", 200),  # Vietnam's today, while UTC still has yesterday
        ("2021-06-02", 400),
        ("", 200),
        ("31.05.2021", 400),
        (20210531, 400),
    ],
)
async def test_dates_reach_a_fortnight_back_and_never_into_the_future(
    server: RunningServer, field: str, day: object, status: int
) -> None:
    reply = await server.staff("/api/issue", {"testType": "confirmed", field: day})
    assert reply.status == status, reply.json


async def test_an_unknown_test_type_is_named(server: RunningServer) -> None:
    assert_refused(await server.staff("/api/issue", {"testType": "perhaps"}), "invalid_test_type")


async def test_a_quota_is_counted_per_key_and_utc_day(settings: ServerSettings, clock: HandClock) -> None:
    small = settings.model_copy(update={"codes_per_key_and_day": 2})
    async with running(small, clock) as server:
        reply = await server.staff("/api/batch-issue", {"codes": [{"testType": "confirmed"}] * 3})
        assert [answer.get("errorCode") for answer in reply.json["codes"]] == [None, None, "quota_exceeded"]
        assert_refused(await server.staff("/api/issue", {"testType": "confirmed"}), "quota_exceeded", 429)
        server.clock.advance(12 * 3600 - 1)
        assert_refused(await server.staff("/api/issue", {"testType": "confirmed"}), "quota_exceeded")
        server.clock.advance(1)
        assert (await server.staff("/api/issue", {"testType": "confirmed"})).status == 200


async def test_a_quota_holds_against_requests_at_once(settings: ServerSettings, clock: HandClock) -> None:
    async with running(settings.model_copy(update={"codes_per_key_and_day": 5}), clock) as server:
        replies = await asyncio.gather(*(server.staff("/api/issue", {"testType": "confirmed"}) for _ in range(20)))
        assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 15


async def test_status_tells_whether_a_code_was_claimed(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID)
    status = (await server.staff("/api/checkcodestatus", {"uuid": UUID})).json
    assert status["claimed"] is False
    assert status["expiresAtTimestamp"] == issued["expiresAtTimestamp"]
    assert status["longExpiresAtTimestamp"] == issued["longExpiresAtTimestamp"]
    await server.post("/api/verify", {"code": issued["code"]})
    assert (await server.staff("/api/checkcodestatus", {"uuid": UUID.upper()})).json["claimed"] is True


async def test_an_expired_code_opens_nothing(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID)
    expired = await server.staff("/api/expirecode", {"uuid": UUID})
    assert expired.json["expiresAtTimestamp"] == expired.json["longExpiresAtTimestamp"] == NOON
    for form in ("code", "longCode"):
        assert_refused(await server.post("/api/verify", {"code": issued[form]}), "code_expired")
    server.clock.advance(60)
    assert (await server.staff("/api/expirecode", {"uuid": UUID})).json["expiresAtTimestamp"] == NOON


async def test_a_claimed_code_cannot_be_expired(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID)
    await server.post("/api/verify", {"code": issued["code"]})
    assert_refused(await server.staff("/api/expirecode", {"uuid": UUID}), "code_invalid")


@pytest.mark.parametrize("path", ["/api/checkcodestatus", "/api/expirecode"])
async def test_a_uuid_that_was_never_issued_is_not_found(server: RunningServer, path: str) -> None:
    assert_refused(await server.staff(path, {"uuid": UUID}), "code_not_found", 404)
    assert_refused(await server.staff(path, {"uuid": "5dbb4b2c"}), "bad_request")


async def test_answers_to_phones_have_one_size_and_one_status_line(server: RunningServer) -> None:
    code = (await server.new_code(symptomDate="2021-05-29"))["code"]
    verified = await server.post("/api/verify", {"code": code})
    replies = [
        verified,
        await server.post("/api/verify", {"code": code}),
        await server.post("/api/verify", {"code": 5}),
        await server.post("/api/certificate", {"token": verified.json["token"], "ekeyhmac": HMAC}),
        await server.post("/api/certificate", {"token": "x", "ekeyhmac": HMAC}),
        await server.send("POST", "/api/verify", b"{", content_type="application/json"),
    ]
    assert {len(reply.body) for reply in replies} == {2048}
    assert {tuple(reply.headers) for reply in replies} == {tuple(verified.headers)}
    assert {reply.reason for reply in replies} == {""}


async def test_no_status_has_a_word_beside_its_number(settings: ServerSettings, clock: HandClock) -> None:
    async with running(settings.model_copy(update={"codes_per_key_and_day": 1}), clock) as server:
        replies = [
            await server.staff("/api/issue", {"testType": "confirmed"}),
            await server.staff("/api/issue", {}),
            await server.staff("/api/checkcodestatus", {"uuid": UUID}),
            await server.staff("/api/issue", {"testType": "confirmed"}),
        ]
    assert [(reply.status, reply.reason) for reply in replies] == [(200, ""), (400, ""), (404, ""), (429, "")]


class StopsBeforeCommit:
    """A database on a machine that stops when all was written and nothing of it committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.writing() as connection:
            yield connection
            raise Missing("the machine stopped")


@pytest.mark.parametrize(("stops", "codes_left"), [("registry", 1), ("exposure", 0)])
async def test_a_stop_between_two_commits_leaves_a_code_nobody_was_told_and_never_one_told_that_is_not_there(
    server: RunningServer, stops: str, codes_left: int
) -> None:
    context = server.context
    stopping = replace(context, **{stops: cast("Any", StopsBeforeCommit(getattr(context, stops)))})
    with pytest.raises(Missing):
        await issue(stopping, COMMAND_LINE, IssueRequest.parse(b'{"testType":"confirmed"}'))
    async with context.exposure.reading() as exposure, context.registry.reading() as registry:
        assert len((await exposure.execute(select(codes))).all()) == codes_left
        assert (await registry.execute(select(issued))).all() == []
