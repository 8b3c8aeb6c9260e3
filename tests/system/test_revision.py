"""A second test changes what the first one said: over real daemons, the real server, real HTTP, an injected clock."""

import json
import logging
from datetime import date
from pathlib import Path

import pytest

from forewarn_client.alerts import alerts_as_json
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.reporting import Outcome, hand_over
from forewarn_client.status import ALERT_IS_ACTIVE, NOTHING_TO_DO, look
from forewarn_client.withdrawals import withdrawn_alerts
from forewarn_protocol.errors import Missing, Refused
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_protocol.keys import ReportType
from forewarn_protocol.verification import TestType
from forewarn_server.configuration.issuing import OVERRIDE_FILE
from forewarn_server.exports.sealing import seal
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import World, seeded_timing
from tests.client.meetings import meet
from tests.server.running_server import RunningServer
from tests.server.sealed_upload import pass_on
from tests.system.lossy_line import LossyLine
from tests.system.meetings import Meeting, Meetings
from tests.system.phones import Phones
from tests.system.test_client_against_server import DAY_S, MINUTE_S, STEPS, stored
from tests.system.test_loop import START, Fortnight, at, on

# One pair for each way that a report can go: who reports, and who was beside them.
WITHDRAWN, CONFIRMED, SELF_REPORTED = ("an", "binh"), ("chi", "dung"), ("em", "giang")
PAIRS = (WITHDRAWN, CONFIRMED, SELF_REPORTED)
TOLD = "there is something to tell: see 'forewarn-client status'"


async def withdrawn_days(story: Fortnight, name: str) -> list[date]:
    async with story.world.device(name) as device:
        return [withdrawal.day for withdrawal in await withdrawn_alerts(device)]


async def test_a_second_test_takes_back_confirms_or_first_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock(START.timestamp())
    await clock.run_for(0)
    meetings = Meetings(clock, [Meeting(one, other, at(0, 1.2), at(0, 1.9)) for one, other in PAIRS])
    async with World.open(clock, meetings, tmp_path, minimum_reports_per_file=1) as world:
        # This authority warns for what a doctor or a laboratory says, not for a person's own word.
        counted = [ReportType.CONFIRMED_TEST, ReportType.CONFIRMED_CLINICAL_DIAGNOSIS]
        override = {"risk": {"minutes": {"report_types": counted}}}
        (world.server.settings.data / OVERRIDE_FILE).write_text(json.dumps(override))
        story = Fortnight(world, clock)
        await story.come_to(0, 1.1)  # the configuration is signed anew at the full hour
        for number, name in enumerate(sum(PAIRS, ())):
            world.add_phone(name, timing=seeded_timing(number), confidence=3)

        await story.come_to(0, 3)
        for (name, _), finding in zip(PAIRS, (TestType.LIKELY, TestType.LIKELY, TestType.USER_REPORT), strict=True):
            assert await story.report(name, None, finding) is Outcome.SENT
        await story.come_to(0, 13)
        assert [await story.alert_days(other) for _, other in PAIRS] == [[on(0)], [on(0)], []]
        assert await story.check("binh") == ALERT_IS_ACTIVE
        assert told(caplog) == 2

        # In the afternoon come three results.
        assert await story.report("an", None, TestType.NEGATIVE) is Outcome.WITHDRAWN
        assert await story.report("chi", None, TestType.CONFIRMED) is Outcome.SENT
        assert await story.report("em", None, TestType.CONFIRMED) is Outcome.SENT
        await story.come_to(0, 20.5)
        assert [await story.alert_days(other) for _, other in PAIRS] == [[], [on(0)], [on(0)]]
        assert [await withdrawn_days(story, other) for _, other in PAIRS] == [[on(0)], [], []]
        async with world.device("binh") as device:
            status = await look(device)
        assert status.check == NOTHING_TO_DO
        assert "1/3/2026 đã được rút lại" in status.check_text
        # One more for Binh, who may go out again, and one for Giang; nothing new for Dung.
        assert told(caplog) == 4
        # Nobody who reported is warned of themselves, and no job of any phone ran into trouble.
        assert [await story.alert_days(one) for one, _ in PAIRS] == [[], [], []]


def told(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often any phone said that there is something to read."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING].count(TOLD)


async def warned_of_a_suspicion(phones: Phones, server: RunningServer, near: Device) -> None:
    """Let a case report a suspicion, and a device that was near be warned of it."""
    met_s = server.clock.utc() - DAY_S
    await phones.speak("case")
    async with phones.phone("case") as case:
        tek, _ = await case.keyring.next_identifier(interval_at(met_s)) or pytest.fail("silent")
    await meet(near, tek, met_s, 30)
    today = day_at(server.clock.utc()).isoformat()
    assert await phones.report("case", await phones.code(testType="likely", testDate=today)) is Outcome.SENT
    await seal(server.context)
    await fetch(near)
    assert len(await judge(near)) == 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_withdrawal_whose_answer_is_lost_is_one_withdrawal(
    phones: Phones, server: RunningServer, line: LossyLine, step: str
) -> None:
    async with phones.phone("near") as near:
        await warned_of_a_suspicion(phones, server, near)
        _, keys_before = await stored(server)
        code = await phones.code(testType="negative")
        line.lost.append(step)
        with pytest.raises(Missing, match="nothing is lost"):
            await phones.report("case", code)
        server.clock.now_s += 10 * MINUTE_S
        assert await phones.report("case", code) is Outcome.WITHDRAWN
        assert await phones.report("case", code) is Outcome.ALREADY
        assert await stored(server) == (2, keys_before)
        await seal(server.context)
        await fetch(near)
        assert await judge(near) == []
        assert await alerts_as_json(near) == []
        assert len(await withdrawn_alerts(near)) == 1


async def test_a_withdrawal_may_leave_in_a_sealed_file_and_be_reported_online_too(
    phones: Phones, server: RunningServer
) -> None:
    async with phones.phone("near") as near:
        await warned_of_a_suspicion(phones, server, near)
        code = await phones.code(testType="negative")
        files: list[bytes] = []
        async with phones.phone("case") as case:
            assert await hand_over(case, code, files.append, consent=lambda _: True) is Outcome.SEALED
        assert (await pass_on(server, files[0])).json["alreadyPublished"] is False
        assert await phones.report("case", code) is Outcome.WITHDRAWN
        await seal(server.context)
        await fetch(near)
        await judge(near)
        assert await alerts_as_json(near) == []
        assert len(await withdrawn_alerts(near)) == 1


async def test_a_suspicion_confirmed_two_days_later_takes_the_days_since_along_and_is_told_once(
    phones: Phones, server: RunningServer
) -> None:
    async with phones.phone("near") as near:
        await warned_of_a_suspicion(phones, server, near)
        _, keys_before = await stored(server)
        server.clock.now_s += 2 * DAY_S
        await phones.speak("case", days=1)
        assert await phones.report("case", await phones.code()) is Outcome.SENT
        assert await stored(server) == (2, keys_before + 2)
        await seal(server.context)
        await fetch(near)
        assert await judge(near) == []
        assert len(await alerts_as_json(near)) == 1
        # Confirmed is the last word: a code that would take it back is not even used up.
        server.clock.now_s += DAY_S
        await phones.speak("case", days=0)
        issued = await server.new_code(testType="negative")
        with pytest.raises(Refused, match="none that can be taken back"):
            await phones.report("case", issued["code"])
        status = await server.staff("/api/checkcodestatus", {"uuid": issued["uuid"]})
        assert status.json["claimed"] is False
