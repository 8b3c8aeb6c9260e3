import asyncio
from typing import Any

import pytest
from sqlalchemy import Table, func, select, update

from forewarn_server.exports.sealing import exports_folder, seal
from forewarn_server.hours import DAY_S
from forewarn_server.retention.forgetting import exposure_rules, forget, registry_rules
from forewarn_server.store.exposure_tables import batches, codes, exposure, feeds, guesses, keys, publishes, tokens
from forewarn_server.store.registry_tables import api_keys, audit, erasures, issued, registry
from tests.server.published_files import exports_of, index_of, let_pass, texts_in, texts_of
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import RunningServer

HOUR_S = 3_600


async def rows_in(server: RunningServer, table: Table) -> int:
    database = server.context.registry if table.metadata is registry else server.context.exposure
    async with database.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


async def seal_three_reports(server: RunningServer) -> set[str]:
    reports = [Phone(server).past_keys() for _ in range(3)]
    for sent in reports:
        await published(server, sent)
    await seal(server.context)
    return texts_of(*reports)


async def test_keys_and_their_file_stay_14_days_and_then_go_together(server: RunningServer) -> None:
    await seal_three_reports(server)
    (entry,) = (await index_of(server)).files
    server.clock.advance(14 * DAY_S - 1)
    await forget(server.context)
    assert await rows_in(server, keys) == 1_000
    assert [export.key_count for export in await exports_of(server)] == [1_000]
    server.clock.advance(1)
    forgotten = await forget(server.context)
    assert (forgotten.rows["keys"], forgotten.rows["batches"], forgotten.files) == (1_000, 1, 1)
    assert await rows_in(server, keys) == await rows_in(server, batches) == 0
    assert (await index_of(server)).files == ()
    assert (await server.send("GET", f"/exports/vn/{entry.path}")).status == 404
    assert entry.path not in (await server.send("GET", "/exports/vn/index.txt")).body.decode()


async def test_a_younger_file_stays_when_an_older_one_goes(server: RunningServer) -> None:
    await seal_three_reports(server)
    server.clock.advance(3 * DAY_S)
    younger = await seal_three_reports(server)
    server.clock.advance(11 * DAY_S)
    await forget(server.context)
    (export,) = await exports_of(server)
    assert younger <= set(texts_in(export))
    assert await rows_in(server, keys) == 1_000


async def test_a_file_that_a_stopped_run_left_behind_is_deleted_by_the_next(server: RunningServer) -> None:
    await seal_three_reports(server)
    left_over = exports_folder(server.context.settings) / "1-2-00009.zip"
    left_over.write_bytes(b"an export whose rows are gone")
    assert (await forget(server.context)).files == 1
    assert not left_over.exists()
    assert len(await exports_of(server)) == 1


async def test_no_file_goes_before_the_index_that_no_longer_names_it_is_signed(server: RunningServer) -> None:
    await seal_three_reports(server)
    index = exports_folder(server.context.settings) / "index.json"
    file = index.with_name((await index_of(server)).files[0].path)
    # Nobody is woken: the hourly seal would sign the index too.
    server.clock.now_s += 14 * DAY_S
    # A folder in its place: the new index can be signed but not be put there.
    old = index.rename(index.with_name("old"))
    (index / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        await forget(server.context)
    assert file.exists()
    (index / "in the way").rmdir()
    index.rmdir()
    old.rename(index)
    # Its rows are gone already; the next run must sign all the same before it deletes.
    assert (await forget(server.context)).files == 1
    assert not file.exists()
    assert (await index_of(server)).files == ()


async def test_keys_that_wait_for_their_embargo_or_for_others_are_not_forgotten(server: RunningServer) -> None:
    await published(server)
    server.clock.advance(DAY_S)
    await forget(server.context)
    assert await rows_in(server, keys) >= 3


async def test_keys_that_were_withheld_are_forgotten_when_no_device_could_match_them(server: RunningServer) -> None:
    sent = Phone(server).past_keys(1)
    token = (await published(server, sent, issue={"testType": "likely"}))["revisionToken"]
    await published(server, sent, issue={"testType": "negative"}, revisionToken=token)
    server.clock.advance(15 * DAY_S)
    await forget(server.context)
    assert await rows_in(server, keys) == 1
    # The key ended at midnight, twelve hours before it was sent.
    server.clock.advance(2 * DAY_S - DAY_S // 2 - 1)
    await forget(server.context)
    assert await rows_in(server, keys) == 1
    server.clock.advance(1)
    await forget(server.context)
    assert await rows_in(server, keys) == 0


@pytest.mark.parametrize(
    ("table", "lives_s"),
    [(codes, 4 * DAY_S), (tokens, DAY_S), (publishes, DAY_S + 2 * HOUR_S), (issued, 30 * DAY_S), (audit, 365 * DAY_S)],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
async def test_each_row_is_forgotten_when_it_is_due_and_not_before(
    server: RunningServer, table: Table, lives_s: int
) -> None:
    await published(server)
    before = await rows_in(server, table)
    assert before
    # Whole days and hours are the grain of some of them.
    server.clock.advance(lives_s - DAY_S // 2 - 1 if table is issued else lives_s - 1)
    await forget(server.context)
    assert await rows_in(server, table) == before
    server.clock.advance(DAY_S)
    await forget(server.context)
    assert await rows_in(server, table) == 0


async def test_every_rule_of_forgetting_has_a_reason_and_every_table_with_citizens_data_a_rule(
    server: RunningServer,
) -> None:
    rules = [*exposure_rules(server.context.settings, 0), *registry_rules(server.context.settings, 0)]
    assert all(rule.reason for rule in rules)
    assert {rule.table for rule in rules} == {keys, batches, codes, guesses, tokens, publishes, issued, audit, erasures}
    # What has no rule: the last number of each feed, which must only rise, and the authority's own API keys.
    assert {*exposure.tables.values(), *registry.tables.values()} - {rule.table for rule in rules} == {feeds, api_keys}


async def test_the_running_server_forgets_by_itself_in_the_hour_in_which_something_is_due(
    server: RunningServer,
) -> None:
    await seal_three_reports(server)
    await let_pass(server, 14 * DAY_S - HOUR_S + 1)  # noon, an hour early: the day's own run finds nothing
    assert await rows_in(server, erasures) == 2
    assert await rows_in(server, keys) == 1_000
    await let_pass(server, HOUR_S)
    assert await rows_in(server, keys) == 0


async def test_a_file_that_is_due_is_neither_named_nor_served_nor_cached_beyond_though_forgetting_is_late(
    server: RunningServer,
) -> None:
    await seal_three_reports(server)
    (entry,) = (await index_of(server)).files
    path = f"/exports/vn/{entry.path}"
    for passed_s, kept_s in ((0, DAY_S), (13 * DAY_S, DAY_S), (DAY_S - 60, 60)):
        server.clock.now_s += passed_s
        reply = await server.send("GET", path)
        assert (reply.status, reply.headers["Cache-Control"]) == (200, f"public, max-age={kept_s}, immutable")
    server.clock.now_s += 60
    assert (await server.send("GET", path)).status == 404
    await seal(server.context)
    assert (await index_of(server)).files == ()
    assert await rows_in(server, keys) == 1_000


async def test_forgetting_twice_at_once_and_beside_a_seal_does_no_harm(server: RunningServer) -> None:
    await seal_three_reports(server)
    server.clock.advance(14 * DAY_S)
    sent = [Phone(server).past_keys() for _ in range(3)]
    for each in sent:
        await published(server, each)
    await asyncio.gather(forget(server.context), seal(server.context), forget(server.context))
    await seal(server.context)
    (export,) = await exports_of(server)
    assert texts_of(*sent) <= set(texts_in(export))


async def test_a_key_just_accepted_at_the_limit_of_age_is_sealed_before_it_could_be_forgotten(
    server: RunningServer,
) -> None:
    phone = Phone(server)
    oldest: list[dict[str, Any]] = [
        {"key": "AAECAwQFBgcICQoLDA0ODw==", "rollingStartNumber": phone.now - 16 * 144, "rollingPeriod": 144}
    ]
    await published(server, oldest)
    for _ in range(7):
        await forget(server.context)
        await seal(server.context)
        server.clock.advance(HOUR_S)
    found = [text for export in await exports_of(server) for text in texts_in(export)]
    assert texts_of(oldest) <= set(found)


async def test_forgetting_what_is_not_there_does_nothing(server: RunningServer) -> None:
    forgotten = await forget(server.context)
    assert set(forgotten.rows.values()) == {0}
    async with server.context.exposure.writing() as connection:
        await connection.execute(update(keys).values(releasable_s=None))
    assert (await forget(server.context)).overwritten
