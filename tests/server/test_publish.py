import json
import random
import secrets
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from forewarn_protocol.errors import ForewarnError, Refused
from forewarn_protocol.publishing import KEY_RULES, SET_RULES, SIZE_RULES
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.problems import ANSWER_BYTES
from forewarn_server.publish.examining import examine
from forewarn_server.setting_up import initialise
from forewarn_server.store.exposure_tables import keys as keys_table
from forewarn_server.store.exposure_tables import publishes
from tests.server.hand_clock import HandClock
from tests.server.publish_routes import INVALID_CERTIFICATE, NOW, Keys, assert_refused, certified, count, stored
from tests.server.reporting_phone import Phone, b64, day_key, published
from tests.server.running_server import RunningServer, running

# One request a rule of the table: its own key is bad, the other two are good.
ONE_KEY_IS_DROPPED: dict[str, dict[str, Any]] = {
    "key_length": day_key(NOW - 1000, key=bytes(15)),
    "rolling_period": day_key(NOW - 1000, period=145),
    "start_in_future": day_key(NOW + 1, period=1),
    "too_old": day_key(NOW - 15 * 144 - 145, period=144),
    "transmission_risk": day_key(NOW - 1000, risk=9),
}
WHOLE_REQUEST_IS_REFUSED: dict[str, Callable[[], Keys]] = {
    "no_keys": list,
    "too_many_keys": lambda: [day_key(NOW - 2_000 + 60 * place, period=60) for place in range(31)],
    "same_start": lambda: [day_key(NOW - 400) for _ in range(4)],
    "overlap": lambda: [day_key(NOW - 400), day_key(NOW - 300)],
    "repeated_key": lambda: [day_key(NOW - 400, key=bytes(16)), day_key(NOW - 200, key=bytes(16))],
}


def test_every_rule_of_the_table_is_tried_here() -> None:
    assert set(ONE_KEY_IS_DROPPED) == {rule.name for rule in KEY_RULES}
    assert set(WHOLE_REQUEST_IS_REFUSED) == {rule.name for rule in (*SIZE_RULES, *SET_RULES)}


@pytest.mark.parametrize("rule", sorted(ONE_KEY_IS_DROPPED))
async def test_a_key_that_breaks_a_rule_is_dropped_with_its_reason_and_costs_only_itself(
    server: RunningServer, rule: str
) -> None:
    phone = Phone(server)
    good = phone.past_keys(2)
    reply = await phone.publish([good[0], ONE_KEY_IS_DROPPED[rule], good[1]])
    assert reply.status == 200
    assert reply.json["code"] == "partial_failure"
    assert reply.json["insertedExposures"] == 2
    reason = next(each.reason for each in KEY_RULES if each.name == rule)
    assert reply.json["warnings"] == [f"keys 1: {reason}"]
    assert {b64(key) for key in await stored(server)} == {key["key"] for key in good}


@pytest.mark.parametrize("rule", sorted(WHOLE_REQUEST_IS_REFUSED))
async def test_keys_that_break_a_rule_together_are_refused_together(server: RunningServer, rule: str) -> None:
    reply = await Phone(server).publish(WHOLE_REQUEST_IS_REFUSED[rule]())
    assert_refused(reply, "bad_request")
    assert reply.json["error"] == next(each.reason for each in (*SIZE_RULES, *SET_RULES) if each.name == rule)
    assert await count(server, keys_table) == 0
    assert await count(server, publishes) == 0


async def test_keys_at_the_edge_of_every_rule_are_accepted(server: RunningServer) -> None:
    edges = [
        day_key(NOW, period=144, risk=8),
        day_key(NOW - 1, period=1, risk=0),
        day_key(NOW - 15 * 144 - 144, period=144),
        *(day_key(NOW - 1000, period=144) for _ in range(3)),
        *(day_key(NOW - 800 + place, period=1) for place in range(24)),
    ]
    assert len(edges) == 30
    answer = await published(server, edges)
    assert answer["insertedExposures"] == 30


async def test_a_request_of_which_no_key_is_good_is_refused_and_can_be_mended(server: RunningServer) -> None:
    phone = Phone(server)
    assert_refused(await phone.publish([day_key(NOW + 10)]), "bad_request")
    # Nothing was bound but the HMAC of the certificate: the token's own keys may still come.
    assert await count(server, publishes) == 0


async def test_thirty_verdicts_fit_into_the_size_that_every_answer_has(server: RunningServer) -> None:
    bad = [*ONE_KEY_IS_DROPPED.values()]
    keys = [*Phone(server).past_keys(1), *(bad[place % 5] for place in range(29))]
    reply = await Phone(server).publish(keys)
    assert reply.json["code"] == "partial_failure", reply.json
    assert reply.json["error"] == "29 of 30 keys were dropped: see warnings"
    assert len(reply.body) == ANSWER_BYTES


async def test_the_answer_has_the_fields_of_the_protocol_and_the_constant_size(server: RunningServer) -> None:
    reply = await Phone(server).publish(Phone(server).past_keys())
    assert reply.json["insertedExposures"] == 3
    assert len(reply.json["revisionToken"]) == 64
    assert len(reply.json["padding"]) >= 1_000
    assert len(reply.body) == ANSWER_BYTES


@pytest.mark.parametrize("spelling", ["hmacKey", "hmackey"])
async def test_both_spellings_of_the_hmac_key_are_accepted(server: RunningServer, spelling: str) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    body[spelling] = body.pop("hmacKey")
    assert (await server.post("/v1/publish", body)).status == 200


async def test_the_hmac_without_risk_counts_where_every_risk_is_0(server: RunningServer) -> None:
    phone = Phone(server)
    assert (await phone.publish(phone.past_keys(), with_risk=False)).status == 200


async def test_the_hmac_without_risk_does_not_count_where_a_risk_is_given(server: RunningServer) -> None:
    phone = Phone(server)
    assert_refused(await phone.publish(phone.past_keys(risk=2), with_risk=False), INVALID_CERTIFICATE)


async def test_null_counts_as_absent_in_every_optional_field(server: RunningServer) -> None:
    phone = Phone(server)
    keys = [{**key, "transmissionRisk": None} for key in phone.past_keys()]
    body = await phone.request([{**key, "transmissionRisk": 0} for key in keys])
    nulls = dict.fromkeys(("symptomOnsetInterval", "traveler", "revisionToken", "padding"))
    assert (await server.post("/v1/publish", {**body, "temporaryExposureKeys": keys, **nulls})).status == 200
    # And the same request without them is the same request.
    assert (await server.post("/v1/publish", body)).json["warnings"] == ["already published"]


async def test_unknown_fields_traveler_and_regions_of_other_clients_do_no_harm(server: RunningServer) -> None:
    phone = Phone(server)
    extra = {"traveler": True, "regions": ["US"], "appPackageName": "org.example", "symptomOnsetInterval": NOW - 300}
    assert (await phone.publish(phone.past_keys(), **extra)).status == 200


async def test_chaff_gets_an_answer_of_the_same_size_and_stores_nothing(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request(phone.past_keys())
    chaff = await server.post("/v1/publish", body, x_chaff="1")
    assert await count(server, keys_table) == 0
    assert await count(server, publishes) == 0
    real = await server.post("/v1/publish", body)
    # Positive control: without the header the very same body is stored.
    assert await count(server, keys_table) == 3
    assert len(chaff.body) == len(real.body)
    assert (chaff.status, set(chaff.headers)) == (real.status, set(real.headers))
    assert set(chaff.json) == set(real.json)
    assert len(chaff.json["revisionToken"]) == len(real.json["revisionToken"])


class NotingClock(HandClock):
    """Notes each look at it: of all that the checks need, the time alone comes from outside."""

    looks: int = 0

    def utc(self) -> float:
        self.looks += 1
        return super().utc()


async def test_chaff_goes_through_the_checks_that_a_refused_publish_goes_through(settings: ServerSettings) -> None:
    clock = NotingClock()
    async with running(settings, clock) as server:
        phone = Phone(server)
        body = await phone.request(phone.past_keys())
        clock.advance(15 * 60)  # the certificate has expired: the checks find it, and no database is asked
        looks = {}
        for name, headers in (("real", {}), ("chaff", {"x_chaff": "1"})):
            before = clock.looks
            await server.post("/v1/publish", {}, **headers)
            malformed = clock.looks - before
            reply = await server.post("/v1/publish", body, **headers)
            looks[name] = (reply.status, clock.looks - before - 2 * malformed)
    # The time of the request and of the ring of certificate keys; chaff goes on to that of the revision keys.
    assert looks == {"real": (401, 2), "chaff": (200, 3)}


async def test_the_checks_before_the_database_are_all_there_are(server: RunningServer) -> None:
    phone = Phone(server)
    body = await phone.request([*phone.past_keys(2), ONE_KEY_IS_DROPPED["too_old"]])
    examined = examine(server.context, json.dumps(body).encode())
    assert isinstance(examined.judged, tuple)
    assert [verdict.broken and verdict.broken.name for verdict in examined.judged] == [None, None, "too_old"]
    for text in ("not ours", b64(bytes(48))):
        with pytest.raises(Refused, match="revision token"):
            examine(server.context, json.dumps({**body, "revisionToken": text}).encode())
    again = Phone(server)
    overlapping = await again.request(WHOLE_REQUEST_IS_REFUSED["overlap"]())
    assert isinstance(examine(server.context, json.dumps(overlapping).encode()).judged, Refused)


async def test_chaff_of_random_bytes_gets_it_too(server: RunningServer) -> None:
    reply = await server.send(
        "POST", "/v1/publish", secrets.token_bytes(3_000), content_type="application/json", x_chaff="1"
    )
    assert reply.status == 200
    assert len(reply.body) == ANSWER_BYTES


async def test_a_body_over_64_kb_is_refused_unread(server: RunningServer) -> None:
    body = await Phone(server).request(Phone(server).past_keys())
    body["padding"] = "x" * 65_536
    reply = await server.post("/v1/publish", body)
    assert (reply.status, reply.json["code"]) == (413, "bad_request")


async def test_the_time_of_a_publish_is_kept_only_to_the_hour(server: RunningServer) -> None:
    server.clock.advance(1_234)
    await published(server)
    async with server.context.exposure.reading() as connection:
        (row,) = (await connection.execute(select(publishes))).all()
        times = [key.releasable_s for key in (await connection.execute(select(keys_table))).all()]
    assert row.expires_s % 3_600 == 0
    assert all(time_s % 3_600 == 0 for time_s in times)


@pytest.mark.parametrize(
    ("onset_days_ago", "classes"),
    [
        # The keys are of 12, 4 and 1 days ago. Standard is told as 7, high as 0, none as -14.
        (4, {12: -14, 4: 0, 1: 0}),
        (12, {12: 0, 4: 7, 1: -14}),
        (20, {12: 7, 4: 0, 1: 0}),
        (None, {12: -14, 4: 0, 1: 0}),
    ],
)
async def test_onset_is_kept_as_a_class_and_one_that_does_not_count_is_four_days_before_the_upload(
    server: RunningServer, onset_days_ago: int | None, classes: dict[int, int]
) -> None:
    phone = Phone(server)
    key_of = {back: day_key(phone.today - 144 * back) for back in classes}
    onset = {} if onset_days_ago is None else {"symptomOnsetInterval": phone.today - 144 * onset_days_ago}
    await published(server, list(key_of.values()), **onset)
    rows = {b64(key): row.onset_days for key, row in (await stored(server)).items()}
    assert {back: rows[key["key"]] for back, key in key_of.items()} == classes


async def test_what_the_authority_certified_about_the_onset_outweighs_what_the_phone_says(
    server: RunningServer,
) -> None:
    phone = Phone(server)
    keys = phone.past_keys(1)
    await published(server, keys, issue={"symptomDate": "2021-05-30"}, symptomOnsetInterval=phone.today - 144 * 12)
    (row,) = (await stored(server)).values()
    assert row.onset_days == 0


async def test_an_error_tells_nothing_of_the_request(server: RunningServer) -> None:
    body = await Phone(server).request(Phone(server).past_keys())
    body["temporaryExposureKeys"][0]["rollingPeriod"] = "secret words"
    reply = await server.post("/v1/publish", body)
    assert_refused(reply, "bad_request")
    assert "secret words" not in reply.body.decode()
    assert body["hmacKey"] not in json.dumps(reply.json)


async def test_whatever_numbers_a_certified_request_holds_it_is_answered_with_a_code_of_the_table(
    server: RunningServer,
) -> None:
    draw = random.Random(5)
    numbers = [0, 1, -1, 144, 145, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), NOW, NOW + 1, NOW - 2_303, NOW - 2_304]
    answered = set()
    for attempt in range(120):
        keys = [
            {
                "key": draw.choice([b64(draw.randbytes(16)), b64(draw.randbytes(16)), "", "%%%", b64(bytes(17))]),
                "rollingStartNumber": draw.choice([NOW - draw.randrange(2_200), draw.choice(numbers)]),
                "rollingPeriod": draw.choice([1, 6, draw.choice(numbers)]),
                "transmissionRisk": draw.choice([0, 0, draw.choice(numbers)]),
            }
            for _ in range(draw.choice([1, 1, 3, 11]))
        ]
        reply = await server.post("/v1/publish", certified(server, keys, f"jti-{attempt}"))
        assert reply.status in {200, 400}, reply.json
        assert len(reply.body) == ANSWER_BYTES
        answered.add(reply.json.get("code", "published"))
    # The draws reach every depth: some are refused, some lose keys, some are published whole.
    assert answered == {"bad_request", "partial_failure", "published"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
FIELDS = (
    "temporaryExposureKeys",
    "healthAuthorityID",
    "verificationPayload",
    "hmacKey",
    "hmackey",
    "symptomOnsetInterval",
    "traveler",
    "revisionToken",
    "padding",
    "key",
    "rollingStartNumber",
)


@pytest.fixture(scope="module")
def context_without_database(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("server")
    initialise(folder, "vn")
    settings, clock = ServerSettings.load(folder), HandClock()
    return Context(settings, clock, KeyRings(KeyFolder.of(settings), clock), cast("Any", None), cast("Any", None))


@given(
    st.binary(max_size=300)
    | st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES).map(lambda fields: json.dumps(fields).encode())
)
def test_random_bytes_and_random_json_end_in_the_family_of_errors(
    context_without_database: Context, body: bytes
) -> None:
    with pytest.raises(ForewarnError):
        examine(context_without_database, body)
