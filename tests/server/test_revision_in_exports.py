"""What a revision changes in the files that devices fetch, in every state that a key can be in."""

import base64
from typing import Any

import pytest
from sqlalchemy import select

from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.keys import ReportType
from forewarn_server.exports import batches
from forewarn_server.exports.padding import COPIED
from forewarn_server.exports.sealing import seal, sealing_rules
from forewarn_server.retention.forgetting import forget
from forewarn_server.store.exposure_tables import keys as keys_table
from tests.server.publish_routes import assert_refused, stored
from tests.server.published_files import diagnosis_keys, exports_of, texts_in, texts_of
from tests.server.reporting_phone import Phone, b64, day_key, published
from tests.server.running_server import RunningServer
from tests.server.test_exports import three_reports, with_settings
from tests.server.test_revision import later, revise, suspected

HOUR_S, DAY_S = 3_600, 86_400
Keys = list[dict[str, Any]]


def revised_in(export: ExportFile) -> dict[str, ReportType | None]:
    return {b64(key.tek.key): key.report_type for key in export.revised_keys()}


def fresh_in(export: ExportFile) -> dict[str, ReportType | None]:
    return {b64(key.tek.key): key.report_type for key in diagnosis_keys(export)}


async def seal_at_once(server: RunningServer) -> None:
    assert (await seal(with_settings(server, minimum_reports_per_file=1).context)).files == 1


async def reported_with_today(server: RunningServer) -> tuple[Keys, Keys, str]:
    """Let a suspected person publish yesterday's key, which is free, and today's, whose embargo runs."""
    phone = Phone(server)
    past, today = phone.past_keys(1), [day_key(phone.today, period=phone.now - phone.today)]
    answer = await published(server, [*past, *today], issue={"testType": "likely"})
    await seal_at_once(server)
    return past, today, answer["revisionToken"]


@pytest.mark.parametrize("becomes", ["confirmed", "negative"])
async def test_a_key_revised_in_its_embargo_waits_on_or_is_withheld_and_is_no_revised_key_of_any_file(
    server: RunningServer, becomes: str
) -> None:
    past, today, token = await reported_with_today(server)
    assert (await revise(server, [*past, *today], becomes, token)).json["insertedExposures"] == 2
    await seal_at_once(server)
    later(server, 2 * HOUR_S)
    await seal(with_settings(server, minimum_reports_per_file=1).context)
    first, second, *rest = await exports_of(server)
    expected = ReportType.CONFIRMED_TEST if becomes == "confirmed" else ReportType.REVOKED
    assert fresh_in(first)[past[0]["key"]] is ReportType.CONFIRMED_CLINICAL_DIAGNOSIS
    assert revised_in(second) == {past[0]["key"]: expected}
    assert [fresh_in(export).get(today[0]["key"]) for export in rest] == (
        [ReportType.CONFIRMED_TEST] if becomes == "confirmed" else []
    )
    assert not any(revised_in(export) for export in rest)


async def test_a_key_revised_while_its_batch_is_claimed_and_unfinished_is_revised_by_the_next_file(
    server: RunningServer,
) -> None:
    keys, token = await suspected(server)
    others = await three_reports(server, issue={"testType": "likely"})
    rules = sealing_rules(server.context.settings)
    (claimed,) = await batches.claim(server.context.exposure, rules, server.context.now_s())
    assert (await revise(server, keys, "negative", token)).status == 200
    later(server, 6 * HOUR_S)
    await seal(server.context)
    first, second = await exports_of(server)
    # The claimed file is what was claimed: its number of keys is fixed, and the one after it takes them back.
    assert first.key_count == claimed.keys
    assert set(fresh_in(first)) >= texts_of(keys, *others)
    assert set(revised_in(second).values()) == {ReportType.REVOKED}
    assert set(revised_in(second)) == texts_of(keys)


async def test_revised_keys_wait_for_a_mix_of_their_own(server: RunningServer) -> None:
    """In a file they stand apart from the fresh ones and say what they became: others would not hide them."""
    alone, token = await suspected(server)
    others = [await suspected(server) for _ in range(2)]
    await seal(server.context)
    assert (await revise(server, alone, "negative", token)).status == 200
    for keys, of_other in others:
        assert (await revise(server, keys, "confirmed", of_other)).status == 200
    await three_reports(server)
    await seal(server.context)
    _, second = await exports_of(server)
    assert (second.key_count, second.revised_key_count) == (1_000, 0)
    later(server, 5 * HOUR_S)
    assert (await seal(server.context)).files == 0
    later(server, HOUR_S)
    await seal(server.context)
    third = (await exports_of(server))[2]
    assert (third.key_count, set(revised_in(third))) == (0, texts_of(alone, *(keys for keys, _ in others)))


async def test_a_mix_of_one_is_what_lets_a_revision_out_alone(server: RunningServer) -> None:
    """Positive control: where the site asks for no mix, the same revision goes out at once."""
    alone, token = await suspected(server)
    await three_reports(server, issue={"testType": "likely"})
    await seal(server.context)
    assert (await revise(server, alone, "negative", token)).status == 200
    await seal_at_once(server)
    assert set(revised_in((await exports_of(server))[1])) == texts_of(alone)


async def test_a_person_who_revises_and_adds_while_waiting_is_one_in_the_mix(server: RunningServer) -> None:
    keys, token = await suspected(server)
    for back in (5, 6):
        more = [day_key(Phone(server).today - 144 * back)]
        assert (await revise(server, [*keys, *more], "confirmed", token)).status == 200
        keys += more
    assert (await seal(server.context)).files == 0
    # Positive control: two others, and the three of them are a mix.
    for _ in range(2):
        await published(server)
    assert (await seal(server.context)).files == 1


async def test_padding_is_not_told_apart_from_a_key_revised_while_it_waited(server: RunningServer) -> None:
    keys, token = await suspected(server)
    assert (await revise(server, keys, "confirmed", token)).status == 200
    await published(server)
    await published(server)
    await seal(server.context)
    async with server.context.exposure.reading() as connection:
        rows = (await connection.execute(select(keys_table))).mappings().all()
    shapes: dict[str, set[Any]] = {"revised": set(), "padding": set()}
    real = texts_of(keys)
    for row in rows:
        kind = "revised" if b64(row["key"]) in real else "padding"
        shapes[kind].add(tuple(row[name] for name in row if name not in {"key", "revision_tag"}))
    assert len(rows) == 1_000
    assert len(shapes["revised"]) == 3
    assert shapes["revised"] <= shapes["padding"]
    # Positive control: it is the copied column that hides them.
    assert {"revised_report_type", "revised_onset_days"} <= set(COPIED)
    assert {row["revised_report_type"] for row in rows} == {None, ReportType.CONFIRMED_TEST}


async def test_a_revision_in_the_last_hour_of_a_file_still_goes_out_and_its_key_stays_as_long_as_its_file(
    server: RunningServer,
) -> None:
    keys, token = await suspected(server, days=1)
    await seal_at_once(server)
    later(server, 14 * DAY_S - HOUR_S)
    assert (await revise(server, keys, "negative", token)).status == 200
    later(server, HOUR_S)
    # The file with the original goes; what waits to be said about its keys does not.
    assert (await forget(server.context)).files == 1
    assert base64.b64decode(keys[0]["key"]) in await stored(server)
    later(server, 5 * HOUR_S)
    await seal(server.context)
    (export,) = await exports_of(server)
    assert revised_in(export) == {keys[0]["key"]: ReportType.REVOKED}
    assert_refused(await revise(server, keys, "confirmed", token), "key_already_revised")
    later(server, 14 * DAY_S - 1)
    await forget(server.context)
    assert len(await exports_of(server)) == 1
    assert base64.b64decode(keys[0]["key"]) in await stored(server)
    later(server, 1)
    await forget(server.context)
    assert await exports_of(server) == []
    assert await stored(server) == {}


async def test_after_the_file_with_the_original_is_forgotten_nothing_is_left_to_withdraw(server: RunningServer) -> None:
    keys, token = await suspected(server, days=1)
    await seal_at_once(server)
    later(server, 14 * DAY_S)
    await forget(server.context)
    assert_refused(await revise(server, keys, "negative", token), "invalid_report_type_transition")
    # A positive result publishes the key as it would any other of that age.
    assert (await revise(server, keys, "confirmed", token)).json["insertedExposures"] == 1
    later(server, 6 * HOUR_S)
    await seal(server.context)
    (export,) = await exports_of(server)
    assert fresh_in(export)[keys[0]["key"]] is ReportType.CONFIRMED_TEST


async def test_a_revised_key_carries_its_new_type_and_onset_in_the_file(server: RunningServer) -> None:
    keys, token = await suspected(server)
    await seal_at_once(server)
    first = (await exports_of(server))[0]
    assert {key.days_since_onset for key in diagnosis_keys(first)} == {0}
    onset = Phone(server).today - 144 * 12
    assert (await revise(server, keys, "confirmed", token, symptomOnsetInterval=onset)).status == 200
    await seal_at_once(server)
    second = (await exports_of(server))[1]
    assert set(revised_in(second)) == texts_of(keys)
    assert {key.report_type for key in second.revised_keys()} == {ReportType.CONFIRMED_TEST}
    assert {key.days_since_onset for key in second.revised_keys()} == {7, -14}
    assert texts_in(second) == []
