"""A report that somebody else carries: real client, real server, real HTTP, the authority's console between them."""

from datetime import date
from pathlib import Path

import pytest

from forewarn_client import report_state
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_client.reporting import Outcome, hand_over
from forewarn_protocol.errors import Missing
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_server.exports.sealing import seal
from tests.byte_scan import all_of, found, none_of
from tests.client.meetings import meet
from tests.server.running_server import RunningServer
from tests.server.sealed_upload import pass_on
from tests.system.lossy_line import LossyLine
from tests.system.phones import Phones
from tests.system.test_client_against_server import DAY_S, HOUR_S, stored


async def sealed_by(phones: Phones, code: str) -> bytes:
    files: list[bytes] = []
    async with phones.phone("case") as device:
        outcome = await hand_over(device, code, files.append, consent=lambda _: True)
    assert outcome is Outcome.SEALED
    (sealed,) = files
    return sealed


async def test_a_report_that_is_handed_over_warns_who_was_near(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    met_s = server.clock.utc() - DAY_S
    await phones.speak("case")
    async with phones.phone("case") as case:
        tek, _ = await case.keyring.next_identifier(interval_at(met_s)) or pytest.fail("silent")
    async with phones.phone("near") as near:
        await meet(near, tek, met_s, 30)
        sealed = await sealed_by(phones, await phones.code())
        assert {path for path, _ in line.sent} == {"/api/verify"}
        assert await stored(server) == (0, 0)
        server.clock.advance(6 * HOUR_S)
        assert (await pass_on(server, sealed)).json["alreadyPublished"] is False
        await seal(server.context)
        assert (await fetch(near)).complete
        (alert,) = await judge(near)
    assert alert.day == day_at(met_s)


async def test_the_same_code_reports_online_too_and_publishes_nothing_twice(
    phones: Phones, server: RunningServer
) -> None:
    await phones.speak("case")
    code = await phones.code()
    sealed = await sealed_by(phones, code)
    again = await sealed_by(phones, code)
    for file in (sealed, again, sealed):
        assert (await pass_on(server, file)).status == 200
    assert await stored(server) == (1, 4)
    async with phones.phone("case") as device:
        state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    assert (state.handed_over, state.done) == (True, False)
    assert await phones.report("case", code) is Outcome.SENT
    assert await stored(server) == (1, 4)
    # Now it is done, and the file says nothing new.
    assert (await pass_on(server, again)).json["alreadyPublished"] is True
    async with phones.phone("case") as device:
        outcome = await hand_over(device, code, lambda _: pytest.fail("kept"), consent=lambda _: True)
        assert outcome is Outcome.ALREADY
    assert await stored(server) == (1, 4)


async def test_a_report_that_went_online_first_makes_the_file_old_news(phones: Phones, server: RunningServer) -> None:
    await phones.speak("case")
    code = await phones.code()
    sealed = await sealed_by(phones, code)
    assert await phones.report("case", code) is Outcome.SENT
    assert (await pass_on(server, sealed)).json["alreadyPublished"] is True
    assert await stored(server) == (1, 4)


async def test_a_lost_answer_costs_neither_the_code_nor_the_file(
    phones: Phones, server: RunningServer, line: LossyLine
) -> None:
    await phones.speak("case")
    code = await phones.code()
    line.lost.append("/api/verify")
    async with phones.phone("case") as device:
        with pytest.raises(Missing, match="nothing is lost"):
            await hand_over(device, code, lambda _: pytest.fail("kept"), consent=lambda _: True)
    assert (await pass_on(server, await sealed_by(phones, code))).status == 200
    assert await stored(server) == (1, 4)


async def own_secrets(device: Device) -> dict[str, list[bytes]]:
    held = await device.database.read(device.keyring.held_within, date(1970, 1, 1))
    state = await device.database.read(report_state.load, device.vault)
    assert state is not None
    return {
        "keys": [key.tek.key for key in held],
        "token": [str(state.token).encode()],
        "HMAC key": [state.hmac_key],
    }


async def test_no_file_ever_holds_a_key_that_its_carrier_could_read(
    phones: Phones, server: RunningServer, tmp_path: Path
) -> None:
    await phones.speak("case")
    sealed = await sealed_by(phones, await phones.code())
    async with phones.phone("case") as device:
        secrets = await own_secrets(device)
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "keys.sealed").write_bytes(sealed)
    await pass_on(server, sealed)
    assert found(stick, secrets) == none_of(secrets)
    assert found(tmp_path / "case", secrets) == none_of(secrets)
    # The published keys are where they belong, and nothing else of the file is.
    assert found(tmp_path / "server", secrets) == {"keys": 4, "token": 0, "HMAC key": 0}
    (stick / "planted").write_bytes(b"".join(b"".join(values) for values in secrets.values()))
    assert found(stick, secrets) == all_of(secrets)
