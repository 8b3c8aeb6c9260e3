import asyncio
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from forewarn_server.store.exposure_tables import keys as keys_table
from tests.server.hand_clock import NOON
from tests.server.publish_routes import INVALID_CERTIFICATE, NOW, assert_refused, certified, count
from tests.server.reporting_phone import HMAC_KEY, Phone, b64, day_key, tekmac_of
from tests.server.running_server import RunningServer


async def test_another_health_authority_is_unknown(server: RunningServer) -> None:
    phone = Phone(server)
    reply = await phone.publish(phone.past_keys(), healthAuthorityID="de")
    assert_refused(reply, "unknown_health_authority_id")


async def test_a_certificate_counts_only_for_the_keys_it_was_made_for(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    body["temporaryExposureKeys"][0]["rollingPeriod"] = 143
    assert_refused(await server.post("/v1/publish", body), INVALID_CERTIFICATE)
    assert await count(server, keys_table) == 0


async def test_a_certificate_counts_for_15_minutes(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    server.clock.advance(15 * 60)
    assert_refused(await server.post("/v1/publish", body), INVALID_CERTIFICATE)
    # The token still lives: a new certificate for the same keys publishes them.
    assert (await phone.publish(body["temporaryExposureKeys"])).status == 200


FORGERIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another audience": ({"aud": "forewarn/de"}, {}),
    "another issuer": ({"iss": "de"}, {}),
    "expired": ({"exp": NOON}, {}),
    "made in the future": ({"iat": NOON + 3_600}, {}),
    "an unknown kid": ({}, {"kid": "v9"}),
    "no jti": ({"jti": None}, {}),
    "an unknown report type": ({"reportType": "rumour"}, {}),
}


@pytest.mark.parametrize("forgery", [*FORGERIES, "another key", "no algorithm"])
async def test_a_certificate_that_is_not_ours_or_not_for_us_is_refused(server: RunningServer, forgery: str) -> None:
    keys = Phone(server).past_keys()
    claims, headers = FORGERIES.get(forgery, ({}, {}))
    told = {
        "iss": "vn",
        "aud": "forewarn/vn",
        "iat": NOON,
        "exp": NOON + 900,
        "jti": "a-jti",
        "reportType": "confirmed",
        "tekmac": tekmac_of(keys),
        **claims,
    }
    own = server.context.keys.certificate.active

    def signed(told: dict[str, Any], key: Any, algorithm: str, kid: str) -> str:
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key, algorithm=algorithm, headers={"kid": kid})

    key = generate_private_key(SECP256R1()) if forgery == "another key" else own.private
    if forgery == "no algorithm":
        certificate = signed(told, None, "none", own.name)
    else:
        certificate = signed(told, key, "ES256", headers.get("kid", own.name))
    body = {
        "temporaryExposureKeys": keys,
        "healthAuthorityID": "vn",
        "verificationPayload": certificate,
        "hmacKey": b64(HMAC_KEY),
        "padding": "",
    }
    assert_refused(await server.post("/v1/publish", body), INVALID_CERTIFICATE)
    # Positive control: the same claims, signed by the authority and changed in nothing, are accepted.
    honest = {**told, "iss": "vn", "aud": "forewarn/vn", "iat": NOON, "exp": NOON + 900, "jti": "a-jti"}
    honest["reportType"] = "confirmed"
    body["verificationPayload"] = signed(honest, own.private, "ES256", own.name)
    assert (await server.post("/v1/publish", body)).status == 200


async def test_the_same_request_again_stores_nothing_and_gets_the_same_token(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    first = await server.post("/v1/publish", body)
    again = await server.post("/v1/publish", {**body, "padding": "other padding"})
    assert again.status == 200
    assert again.json["revisionToken"] == first.json["revisionToken"]
    assert again.json["insertedExposures"] == 0
    assert again.json["warnings"] == ["already published"]
    assert "code" not in again.json
    assert await count(server, keys_table) == 3


async def test_a_repeat_with_a_fresh_certificate_of_the_same_token_is_the_same_publish(server: RunningServer) -> None:
    phone = Phone(server)
    keys = phone.past_keys()
    first = await phone.publish(keys)
    server.clock.advance(20 * 3_600)
    again = await phone.publish(keys)
    assert again.json["warnings"] == ["already published"]
    assert again.json["revisionToken"] == first.json["revisionToken"]


async def test_a_repeat_is_recognised_though_its_keys_have_become_too_old_meanwhile(server: RunningServer) -> None:
    phone = Phone(server)
    keys = [day_key(NOW - 15 * 144 - 144)]
    assert (await phone.publish(keys)).status == 200
    server.clock.advance(3_600)
    assert (await phone.publish(keys)).json["warnings"] == ["already published"]


async def test_the_same_certificate_with_another_body_is_a_bad_request(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    assert (await server.post("/v1/publish", body)).status == 200
    assert_refused(await server.post("/v1/publish", {**body, "symptomOnsetInterval": NOW - 400}), "bad_request")


async def test_the_same_jti_with_another_tekmac_is_refused(server: RunningServer) -> None:
    """The certificate route binds a token to one HMAC already; the publish route does not rely on it."""

    first, second = (certified(server, Phone(server).past_keys(), "one-jti") for _ in range(2))
    assert (await server.post("/v1/publish", first)).status == 200
    assert_refused(await server.post("/v1/publish", second), INVALID_CERTIFICATE)
    assert await count(server, keys_table) == 3


async def test_fifty_copies_at_once_publish_once(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    replies = await asyncio.gather(*(server.post("/v1/publish", body) for _ in range(50)))
    assert [reply.status for reply in replies] == [200] * 50
    assert sorted(reply.json["insertedExposures"] for reply in replies) == [0] * 49 + [3]
    assert sorted(reply.json.get("warnings", []) for reply in replies) == [[]] + [["already published"]] * 49
    assert len({reply.json["revisionToken"] for reply in replies}) == 1
    assert await count(server, keys_table) == 3


async def test_of_fifty_bodies_under_one_certificate_one_is_published(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    replies = await asyncio.gather(
        *(server.post("/v1/publish", {**body, "symptomOnsetInterval": NOW - 300 - i}) for i in range(50))
    )
    assert sorted(reply.status for reply in replies) == [200] + [400] * 49
    assert {reply.json["code"] for reply in replies if reply.status == 400} == {"bad_request"}
    assert await count(server, keys_table) == 3
