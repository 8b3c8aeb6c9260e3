"""The real client against the real server over real HTTP: report, refusals, lost answers, fetch, alert."""

import pytest
from sqlalchemy import func, select

from forewarn_client.alerts import alerts_as_json
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.reporting import Outcome
from forewarn_protocol.errors import Missing, NotVerified, Refused
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_server.exports.sealing import seal
from forewarn_server.store.exposure_tables import keys, publishes
from tests.client.honest_server import p256, public
from tests.client.meetings import meet
from tests.server.running_server import RunningServer
from tests.system.lossy_line import LossyLine
from tests.system.phones import Phones

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
STEPS = ("/api/verify", "/api/certificate", "/v1/publish")


async def stored(server: RunningServer) -> tuple[int, int]:
    """Return the number of publishes and of keys in the database."""
    async with server.context.exposure.reading() as connection:
        counts = [await connection.scalar(select(func.count()).select_from(table)) for table in (publishes, keys)]
    return int(counts[0] or 0), int(counts[1] or 0)


async def test_a_person_who_was_near_is_warned_and_a_stranger_is_not(phones: Phones, server: RunningServer) -> None:
    met_s = server.clock.utc() - DAY_S
    await phones.speak("case")
    async with phones.phone("case") as case:
        tek, _ = await case.keyring.next_identifier(interval_at(met_s)) or pytest.fail("silent")
    async with phones.phone("near") as near, phones.phone("far") as far:
        await meet(near, tek, met_s, 30)
        await meet(far, tek, met_s, 30, rssi_dbm=-98)
        assert await phones.report("case", await phones.code(testDate=day_at(server.clock.utc()).isoformat())) == "sent"
        # Today's key may still be spoken: it waits for its embargo, yesterday's does not.
        await seal(server.context)
        assert (await fetch(near)).complete
        (alert,) = await judge(near)
        assert alert.day == day_at(met_s)
        assert await judge(near) == []
        assert (await fetch(far)).complete
        assert await judge(far) == []
        (shown,) = await alerts_as_json(near)
        assert shown["advice"]["vi"]["steps"]
        server.clock.advance(15 * HOUR_S)
        await seal(server.context)
        second = await fetch(near)
        assert (second.files, second.complete) == (1, True)
        assert await judge(near) == []


async def lose_the_answer(phones: Phones, line: LossyLine, step: str) -> str:
    """Let a case report while the answer of one step gets lost; return the code."""
    await phones.speak("case")
    code = await phones.code()
    line.lost.append(step)
    with pytest.raises(Missing, match="nothing is lost"):
        await phones.report("case", code)
    return code


@pytest.mark.parametrize("step", STEPS)
async def test_a_lost_answer_costs_neither_the_code_nor_a_second_publish(
    phones: Phones, server: RunningServer, line: LossyLine, step: str
) -> None:
    code = await lose_the_answer(phones, line, step)
    assert await phones.report("case", code) is Outcome.SENT
    assert await phones.report("case", code) is Outcome.ALREADY
    assert await stored(server) == (1, 4)


async def test_a_publish_repeated_with_a_newer_certificate_is_the_same_publish(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    code = await lose_the_answer(phones, line, "/v1/publish")
    server.clock.advance(20 * MINUTE_S)
    assert await phones.report("case", code) is Outcome.SENT
    assert await stored(server) == (1, 4)


async def test_a_report_goes_on_hours_after_its_code_has_expired(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    code = await lose_the_answer(phones, line, "/api/certificate")
    server.clock.advance(13 * HOUR_S)
    await phones.speak("case", days=0)
    assert await phones.report("case", code) is Outcome.SENT
    assert await stored(server) == (1, 4)


@pytest.mark.parametrize(
    ("late_s", "code", "words"),
    [
        (0, "wrong", ("code_invalid", "check its digits")),
        (16 * MINUTE_S, "short", ("code_expired", "ask your health authority for a new one")),
        (25 * HOUR_S, "long", ("code_expired", "ask your health authority for a new one")),
    ],
)
async def test_the_servers_refusals_say_what_to_do(
    phones: Phones, server: RunningServer, late_s: int, code: str, words: tuple[str, str]
) -> None:
    await phones.speak("case")
    issued = await server.new_code()
    codes = {"short": issued["code"], "long": issued["longCode"]}
    codes["wrong"] = f"{(int(codes['short']) + 1) % 10**8:08}"
    server.clock.advance(late_s)
    with pytest.raises(Refused, match=words[1]) as raised:
        await phones.report("case", codes[code])
    assert raised.value.code == words[0]
    assert await stored(server) == (0, 0)


async def test_a_code_serves_one_phone(phones: Phones, server: RunningServer) -> None:
    await phones.speak("case")
    await phones.speak("thief")
    code = await phones.code()
    assert await phones.report("case", code) is Outcome.SENT
    with pytest.raises(Refused, match="already used"):
        await phones.report("thief", code)
    assert await stored(server) == (1, 4)


async def test_a_token_that_has_run_out_asks_for_a_new_code_which_then_works(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    await phones.speak("case")
    code = await phones.code()
    line.lost.append("/api/certificate")
    with pytest.raises(Missing):
        await phones.report("case", code)
    server.clock.advance(25 * HOUR_S)
    with pytest.raises(Refused, match="24 hours"):
        await phones.report("case", code)
    assert await phones.report("case", await phones.code()) is Outcome.SENT
    assert (await stored(server))[0] == 1


async def test_the_long_code_works_and_every_request_has_its_one_size(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    sizes = []
    for name, days, form in (("one", 0, "code"), ("other", 6, "longCode")):
        await phones.speak(name, days)
        line.sent.clear()
        assert await phones.report(name, (await server.new_code())[form]) is Outcome.SENT
        sizes.append(dict(line.sent))
    assert sizes[0] == sizes[1]
    assert set(sizes[0]) == set(STEPS)


async def test_a_server_with_another_feed_key_is_refused(phones: Phones, server: RunningServer) -> None:
    await seal(server.context)
    async with phones.phone("one", public_key=(public(p256(7)),)) as device:
        with pytest.raises(NotVerified, match="pinned feed key"):
            await fetch(device)
