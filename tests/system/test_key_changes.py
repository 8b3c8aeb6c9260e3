"""The authority changes and revokes the keys that devices know, while real devices fetch from the real server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from forewarn_client.alerts import active_alerts
from forewarn_client.device import Device
from forewarn_client.fetching import FetchOutcome, fetch
from forewarn_client.judging import judge
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.errors import Missing, NotVerified
from forewarn_protocol.feeds import sign_feed
from forewarn_protocol.intervals import day_at, interval_at
from forewarn_server.advice.issuing import issue_advice
from forewarn_server.config import ServerSettings
from forewarn_server.configuration import issuing
from forewarn_server.configuration.issuing import issue_configuration
from forewarn_server.exports import sealing
from forewarn_server.exports.sealing import seal
from forewarn_server.keyrings.changing import revoke_key, rotate_key
from forewarn_server.keyrings.material import SigningKey
from forewarn_server.keyrings.policies import EXPORT, Use
from forewarn_server.keyrings.tending import tend_keys
from tests.client.meetings import meet
from tests.server.hand_clock import HandClock
from tests.server.published_files import exports_of
from tests.server.reporting_phone import published
from tests.server.running_server import RunningServer, running
from tests.system.phones import Phones

HOUR_S, DAY_S = 3_600, 86_400
CONFIGURATION = "config/vn.json"


@pytest.fixture
async def server(server_data: Path) -> AsyncIterator[RunningServer]:
    settings = ServerSettings.load(
        server_data, minimum_reports_per_file=1, maximum_wait_h=0, padded_keys=0, feed_key_overlap_days=2
    )
    async with running(settings, HandClock()) as started:
        yield started


async def later(server: RunningServer, seconds: int) -> None:
    """Let time pass and do the hour's work, in this task and so at a known moment."""
    server.clock.now_s += seconds
    await tend_keys(server.context)
    await issue_configuration(server.context)
    await issue_advice(server.context)
    await seal(server.context)


async def fetched(phones: Phones, name: str, **given: object) -> FetchOutcome:
    async with phones.phone(name, **given) as device:
        return await fetch(device)


async def is_refused(phones: Phones, name: str, **given: object) -> str:
    with pytest.raises(NotVerified) as caught:
        await fetched(phones, name, **given)
    return caught.value.message


def left_out(monkeypatch: pytest.MonkeyPatch, *fields: str) -> None:
    """Switch a protection off: the server no longer says these fields of its configuration."""
    whole = issuing.configuration

    def without(*arguments: Any) -> DeviceConfiguration:
        told = whole(*arguments)
        return told.model_copy(update={name: DeviceConfiguration.model_fields[name].default for name in fields})

    monkeypatch.setattr(issuing, "configuration", without)


async def met_a_case(phones: Phones, *names: str) -> None:
    """Let a case speak, and others hear it, half an hour of yesterday."""
    met_s = phones.server.clock.utc() - DAY_S
    await phones.speak("case")
    async with phones.phone("case") as case:
        tek, _ = await case.keyring.next_identifier(interval_at(met_s)) or pytest.fail("silent")
    for name in names:
        async with phones.phone(name) as device:
            await meet(device, tek, met_s, 30)


async def days_told(device: Device) -> list[str]:
    return [alert.day.isoformat() for alert in await active_alerts(device)]


async def test_a_phone_follows_the_feed_key_through_its_overlap_and_loses_neither_file_nor_alert(
    phones: Phones, server: RunningServer
) -> None:
    await met_a_case(phones, "near")
    day = day_at(server.clock.utc() - DAY_S)
    assert (await fetched(phones, "near")).complete
    await rotate_key(server.context, Use.FEED)
    assert (await fetched(phones, "case")).complete
    signers = []
    for _ in range(4):
        await published(server)
        await later(server, 18 * HOUR_S)
        outcome = await fetched(phones, "near")
        assert (outcome.complete, outcome.files > 0) == (True, True)
        signers.append(server.context.keys.feed.active.name)
    assert signers == ["v1", "v1", "v2", "v2"]
    await phones.report("case", await phones.code())
    await later(server, 18 * HOUR_S)
    async with phones.phone("near") as device:
        assert (await fetch(device)).complete
        assert [alert.day for alert in await judge(device)] == [day]
    # Who was away all the time is told so in one line, and can pin the new key by hand.
    said = await is_refused(phones, "away")
    assert "after weeks offline, pin the authority's new key" in said
    assert "\n" not in said
    assert (await fetched(phones, "away", public_key=(server.context.keys.feed.active.public_base64,))).complete


async def test_without_the_announcement_a_phone_loses_its_server(
    phones: Phones, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    left_out(monkeypatch, "feed_keys")
    await rotate_key(server.context, Use.FEED)
    assert (await fetched(phones, "near")).complete
    await later(server, 3 * DAY_S)
    await is_refused(phones, "near")


def served_by_a_thief(server: RunningServer, stolen: SigningKey) -> None:
    """Put a newer configuration into the public folder, signed by a key that was stolen."""
    path = server.context.settings.public / CONFIGURATION
    told = DeviceConfiguration.model_validate_json(path.read_bytes())
    lie = told.model_copy(update={"sequence": told.sequence + 1, "revoked_feed_keys": ()})
    path.write_bytes(lie.encode())
    path.with_name(path.name + ".sig").write_bytes(sign_feed(stolen.private, CONFIGURATION, lie.encode()))


@pytest.mark.parametrize("is_told", [True, False], ids=["revoked", "revocation left out"])
async def test_a_revoked_feed_key_is_refused_though_it_is_pinned(
    phones: Phones, server: RunningServer, monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    stolen = server.context.keys.feed.active
    if not is_told:
        left_out(monkeypatch, "revoked_feed_keys")
    await rotate_key(server.context, Use.FEED)
    assert (await fetched(phones, "near")).complete
    await revoke_key(server.context, Use.FEED, "v1")
    # The announced key signs from this moment on, and the phone knows it.
    assert server.context.keys.feed.active.name == "v2"
    assert (await fetched(phones, "near")).complete
    served_by_a_thief(server, stolen)
    if is_told:
        await is_refused(phones, "near")
        await later(server, HOUR_S)
        assert (await fetched(phones, "near")).complete
    else:
        assert (await fetched(phones, "near")).complete


async def who_could_not_know(server: RunningServer, name: str) -> int:
    """Go on until an export key signs; count the configurations that live at that moment and do not name it."""
    path = server.context.settings.public / CONFIGURATION
    told = [DeviceConfiguration.model_validate_json(path.read_bytes())]
    while server.context.keys.export.active.name != name:
        await later(server, 2 * HOUR_S)
        told.append(DeviceConfiguration.model_validate_json(path.read_bytes()))
    living = [configuration for configuration in told if configuration.expires > server.context.now_s()]
    return sum(name not in {key.key_version for key in each.export_keys} for each in living)


async def test_the_next_export_key_is_announced_as_long_as_a_configuration_lives_before_it_signs(
    phones: Phones, server: RunningServer
) -> None:
    await published(server)
    await later(server, 0)
    # Just before the hour of the rotation somebody fetched a configuration that will live for a day.
    await rotate_key(server.context, Use.EXPORT)
    assert await who_could_not_know(server, "v2") == 0
    await published(server)
    await later(server, HOUR_S)
    versions = {export.header.signature_infos[0].key_version for export in await exports_of(server)}
    assert versions == {"v1", "v2"}
    # A phone that comes only now reads the files of both.
    outcome = await fetched(phones, "late")
    assert (outcome.complete, outcome.files) == (True, len(await exports_of(server)))
    await later(server, EXPORT.overlap_s)
    assert [key.name for key in server.context.keys.export.accepted] == ["v2"]
    assert (await fetched(phones, "late")).complete
    # Positive control: a key that signs at once is unknown to who holds the configuration of a minute ago.
    server.context.keys.folder.rotate(EXPORT, server.context.now_s() + 1, 0)
    server.clock.now_s += 1
    assert await who_could_not_know(server, "v3") == 1


async def test_with_the_old_export_key_left_out_of_the_configuration_its_files_are_lost(
    phones: Phones, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""
    await published(server)
    await later(server, 0)
    whole = issuing.configuration

    def with_the_next_only(*arguments: Any) -> DeviceConfiguration:
        told = whole(*arguments)
        return told.model_copy(update={"export_keys": told.export_keys[:1]})

    monkeypatch.setattr(issuing, "configuration", with_the_next_only)
    await rotate_key(server.context, Use.EXPORT)
    assert not (await fetched(phones, "late")).complete


async def test_a_revoked_export_key_costs_no_file_and_tells_nobody_twice(phones: Phones, server: RunningServer) -> None:
    await met_a_case(phones, "early", "late")
    await phones.report("case", await phones.code())
    await later(server, 0)
    async with phones.phone("early") as early, phones.phone("late") as late:
        assert (await fetch(early)).complete
        assert len(await judge(early)) == 1
        before = await exports_of(server)
        await revoke_key(server.context, Use.EXPORT, "v1")
        again = await exports_of(server)
        assert [sorted(export.keys(), key=str) for export in again] == [
            sorted(export.keys(), key=str) for export in before
        ]
        assert {export.header.signature_infos[0].key_version for export in again} == {"v2"}
        assert (await fetch(late)).complete
        assert len(await judge(late)) == 1
        assert (await fetch(early)).complete
        assert await judge(early) == []
        assert len(await days_told(early)) == 1


async def test_what_a_revoked_export_key_signed_is_refused_from_the_next_fetch_on(
    phones: Phones, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above, too: without signing anew, the file is lost to who comes after."""

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(sealing, "renumber", nothing)
    await published(server)
    await later(server, 0)
    assert (await fetched(phones, "before")).complete
    await revoke_key(server.context, Use.EXPORT, "v1")
    outcome = await fetched(phones, "after")
    assert (outcome.complete, outcome.files) == (False, 0)
    assert any("signed" in warning for warning in outcome.warnings)


@pytest.mark.parametrize(
    ("lost", "change"), [("/api/certificate", "rotated"), ("/api/certificate", "revoked"), ("/v1/publish", "revoked")]
)
async def test_a_report_survives_a_change_of_the_certificate_key_between_any_two_steps(
    phones: Phones, server: RunningServer, lost: str, change: str
) -> None:
    await phones.speak("case")
    code = await phones.code()
    phones.line.lost.append(lost)
    with pytest.raises(Missing, match="nothing is lost"):
        await phones.report("case", code)
    if change == "rotated":
        await rotate_key(server.context, Use.CERTIFICATE)
    else:
        await revoke_key(server.context, Use.CERTIFICATE, "v1")
    assert await phones.report("case", code) == "sent"
