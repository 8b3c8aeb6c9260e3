"""A report whose answer never came, and the next code: the real client, the real server, real HTTP."""

import sqlite3

import pytest

from forewarn_client.report_errand import Errand
from forewarn_client.reporting import Outcome, hand_over
from forewarn_protocol.errors import Missing, Refused
from forewarn_protocol.keys import ReportType
from tests.server import publish_routes
from tests.server.running_server import RunningServer
from tests.server.sealed_upload import pass_on
from tests.system.lossy_line import LossyLine
from tests.system.phones import Phones
from tests.system.test_client_against_server import DAY_S, HOUR_S, stored


async def becomes(server: RunningServer) -> list[int]:
    """Return what each key says now, by the database."""
    rows = (await publish_routes.stored(server)).values()
    return sorted(row.report_type if row.revised_report_type is None else row.revised_report_type for row in rows)


async def lose_the_answer(phones: Phones, line: LossyLine, finding: str) -> str:
    """Let the case report while the answer to the publish gets lost; return the code."""
    code = await phones.code(testType=finding)
    line.lost.append("/v1/publish")
    with pytest.raises(Missing, match="nothing is lost"):
        await phones.report("case", code)
    return code


async def days_later(phones: Phones, server: RunningServer, days: int) -> None:
    server.clock.now_s += days * DAY_S
    await phones.speak("case", days=days - 1)


async def test_the_next_code_first_asks_again_for_the_answer_that_never_came(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    await phones.speak("case")
    await lose_the_answer(phones, line, "likely")
    server.clock.now_s += 20 * HOUR_S
    await phones.speak("case", days=0)
    assert await phones.report("case", await phones.code()) is Outcome.SENT
    # The revision token came with the answer: four old keys and the new one are confirmed.
    assert (await stored(server))[0] == 2
    assert set(await becomes(server)) == {ReportType.CONFIRMED_TEST}


async def test_a_report_that_somebody_carried_is_taken_back_by_a_code_within_its_day(
    phones: Phones, server: RunningServer
) -> None:
    await phones.speak("case")
    files: list[bytes] = []
    async with phones.phone("case") as case:
        await hand_over(case, await phones.code(testType="likely"), files.append, consent=lambda _: True)
    assert (await pass_on(server, files[0])).status == 200
    server.clock.now_s += HOUR_S
    assert await phones.report("case", await phones.code(testType="negative")) is Outcome.WITHDRAWN
    assert await becomes(server) == [ReportType.REVOKED] * 4


async def test_after_its_day_the_next_code_is_refused_once_and_the_one_after_sends_the_days_since(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    await phones.speak("case")
    await lose_the_answer(phones, line, "likely")
    await days_later(phones, server, 2)
    with pytest.raises(Refused, match="ask your health authority for a new code for the days since") as raised:
        await phones.report("case", await phones.code())
    assert raised.value.code == "missing_revision_token"
    assert await stored(server) == (1, 4)
    assert await phones.report("case", await phones.code()) is Outcome.SENT
    assert await stored(server) == (2, 6)
    assert await becomes(server) == [ReportType.CONFIRMED_TEST] * 2 + [ReportType.CONFIRMED_CLINICAL_DIAGNOSIS] * 4


async def test_without_a_note_of_the_refusal_every_later_code_is_refused(
    phones: Phones, server: RunningServer, line: LossyLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: the same person, who can never report again."""

    def forgets(_: Errand, __: sqlite3.Connection) -> None:
        return None

    monkeypatch.setattr(Errand, "give_up", forgets)
    await phones.speak("case")
    await lose_the_answer(phones, line, "likely")
    await days_later(phones, server, 2)
    for _ in range(3):
        with pytest.raises(Refused):
            await phones.report("case", await phones.code())
    assert await stored(server) == (1, 4)


async def test_a_withdrawal_whose_answer_never_came_does_not_stand_in_the_way_of_a_later_report(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    await phones.speak("case")
    assert await phones.report("case", await phones.code(testType="likely")) is Outcome.SENT
    await lose_the_answer(phones, line, "negative")
    assert await becomes(server) == [ReportType.REVOKED] * 4
    await days_later(phones, server, 2)
    with pytest.raises(Refused, match="what was sent stays as it is") as raised:
        await phones.report("case", await phones.code())
    assert raised.value.code == "key_already_revised"
    assert await phones.report("case", await phones.code()) is Outcome.SENT
    assert await becomes(server) == [ReportType.CONFIRMED_TEST] * 2 + [ReportType.REVOKED] * 4
