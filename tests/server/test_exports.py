import random
from collections import Counter
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from forewarn_protocol.keys import ReportType
from forewarn_server.exports.padding import COPIED
from forewarn_server.exports.sealing import seal
from forewarn_server.store.exposure_tables import keys as keys_table
from tests.server.hand_clock import NOON
from tests.server.published_files import diagnosis_keys, exports_of, index_of, texts_in, texts_of, until
from tests.server.reporting_phone import Phone, b64, day_key, published
from tests.server.running_server import RunningServer

HOUR_S = 3_600


async def three_reports(server: RunningServer, days: int = 3, **fields: Any) -> list[list[dict[str, Any]]]:
    reports = [Phone(server).past_keys(days) for _ in range(3)]
    for keys in reports:
        await published(server, keys, **fields)
    return reports


def with_settings(server: RunningServer, **changes: object) -> RunningServer:
    settings = server.context.settings.model_copy(update=changes)
    return replace(server, context=replace(server.context, settings=settings))


async def test_what_three_people_publish_is_sealed_signed_and_read_back(server: RunningServer) -> None:
    reports = await three_reports(server)
    sealed = await seal(server.context)
    assert (sealed.files, sealed.keys) == (1, 1_000)
    (export,) = await exports_of(server)
    assert texts_of(*reports) <= set(texts_in(export))
    by_text = {b64(key.tek.key): key for key in diagnosis_keys(export)}
    for sent in reports[0]:
        key = by_text[sent["key"]]
        assert (key.tek.rolling_start, key.tek.rolling_period) == (sent["rollingStartNumber"], sent["rollingPeriod"])
        assert key.report_type is ReportType.CONFIRMED_TEST
        assert key.days_since_onset in {-14, 0, 7}


async def test_the_header_names_region_and_full_hours_and_the_file_name_nothing_else(server: RunningServer) -> None:
    server.clock.advance(1_234)
    await three_reports(server)
    await seal(server.context)
    (export,) = await exports_of(server)
    header = export.header
    assert (header.region, header.batch_num, header.batch_size) == ("vn", 1, 1)
    assert (header.start_s, header.end_s) == (NOON - HOUR_S, NOON)
    (entry,) = (await index_of(server)).files
    assert entry.path == f"{NOON - HOUR_S}-{NOON}-00001.zip"


async def test_keys_are_sorted_by_their_bytes(server: RunningServer) -> None:
    await three_reports(server)
    await seal(server.context)
    (export,) = await exports_of(server)
    in_order = [key.tek.key for key in diagnosis_keys(export)]
    assert in_order == sorted(in_order)


async def test_nothing_is_sealed_while_fewer_than_three_people_wait_and_six_hours_have_not_passed(
    server: RunningServer,
) -> None:
    mine, others = Phone(server).past_keys(), Phone(server).past_keys()
    await published(server, mine)
    await published(server, others)
    for _ in range(6):
        assert (await seal(server.context)).files == 0
        server.clock.advance(HOUR_S)
    await seal(server.context)
    (export,) = await exports_of(server)
    assert texts_of(mine, others) <= set(texts_in(export))


async def test_one_person_who_publishes_thrice_is_not_three(server: RunningServer) -> None:
    """A device whose answers are lost repeats itself; that must not make a crowd of it."""
    phone = Phone(server)
    keys = phone.past_keys()
    for _ in range(3):
        assert (await phone.publish(keys)).status == 200
    assert (await seal(server.context)).files == 0


async def test_each_report_type_waits_for_a_mix_of_its_own(server: RunningServer) -> None:
    """The type stands beside each key: who is alone of one stands apart, whoever else is in the file."""
    alone = Phone(server).past_keys()
    await published(server, alone, issue={"testType": "likely"})
    others = await three_reports(server)
    assert (await seal(server.context)).files == 1
    (first,) = await exports_of(server)
    assert texts_of(*others) <= set(texts_in(first))
    assert not texts_of(alone) & set(texts_in(first))
    for _ in range(2):
        await published(server, issue={"testType": "likely"})
    assert (await seal(server.context)).files == 1
    _, second = await exports_of(server)
    assert texts_of(alone) <= set(texts_in(second))
    assert {key.report_type for key in diagnosis_keys(second)} == {ReportType.CONFIRMED_CLINICAL_DIAGNOSIS}


async def test_a_site_that_sets_one_report_a_file_gets_it_at_once(server: RunningServer) -> None:
    await published(server)
    assert (await seal(with_settings(server, minimum_reports_per_file=1).context)).files == 1


async def test_todays_key_waits_for_its_embargo_while_the_past_days_go(server: RunningServer) -> None:
    server.clock.advance(600)
    phone = Phone(server)
    todays = [day_key(phone.today, period=phone.now - phone.today) for _ in range(3)]
    past = [Phone(server).past_keys(2) for _ in range(3)]
    for earlier, today in zip(past, todays, strict=True):
        await published(server, [*earlier, today])
    await seal(server.context)
    (first,) = await exports_of(server)
    assert texts_of(*past) <= set(texts_in(first))
    assert not texts_of(todays) & set(texts_in(first))
    server.clock.advance(2 * HOUR_S - 1)
    assert (await seal(server.context)).files == 0
    server.clock.advance(1)
    assert (await seal(server.context)).files == 1
    _, second = await exports_of(server)
    assert {key.tek.rolling_period for key in diagnosis_keys(second)} == {12 * 6 + 1}
    assert texts_of(todays) <= set(texts_in(second))


async def test_the_whole_key_of_a_running_day_waits_until_two_hours_after_midnight(server: RunningServer) -> None:
    phone = Phone(server)
    for _ in range(3):
        await published(server, [day_key(phone.today)])
    server.clock.advance(14 * HOUR_S - 1)
    assert (await seal(server.context)).files == 0
    server.clock.advance(1)
    assert (await seal(server.context)).files == 1


async def test_an_empty_batch_makes_no_file_but_a_new_index(server: RunningServer) -> None:
    before = await index_of(server)
    assert (await seal(server.context)).files == 0
    after = await index_of(server)
    assert after.files == ()
    assert after.sequence > before.sequence


async def test_padding_copies_what_real_keys_say_in_their_proportions(server: RunningServer) -> None:
    reports = [
        Phone(server).past_keys(2, risk=3),
        Phone(server).past_keys(2, risk=3),
        [day_key(NOON // 600 - 170, 137)],
    ]
    for keys in reports:
        await published(server, keys)
    await seal(server.context)
    (export,) = await exports_of(server)
    real = texts_of(*reports)
    shapes = {True: Counter[Any](), False: Counter[Any]()}
    for key in diagnosis_keys(export):
        shape = (
            key.tek.rolling_start,
            key.tek.rolling_period,
            key.transmission_risk,
            key.report_type,
            key.days_since_onset,
        )
        shapes[b64(key.tek.key) in real][shape] += 1
    assert set(shapes[False]) == set(shapes[True])
    for shape, count in shapes[True].items():
        # 995 draws; five standard deviations of a binomial are under 0.08 of them.
        assert abs(shapes[False][shape] / 995 - count / 5) < 0.08


async def test_a_padding_key_is_stored_like_a_real_one(server: RunningServer) -> None:
    reports = await three_reports(server)
    await seal(server.context)
    async with server.context.exposure.reading() as connection:
        rows = (await connection.execute(select(keys_table))).mappings().all()
    assert len(rows) == 1_000
    real = texts_of(*reports)
    random_columns = {"key", "revision_tag"}
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    for row in rows:
        rest = tuple((name, row[name]) for name in row if name not in random_columns | set(COPIED))
        seen[b64(row["key"]) in real].add(rest)
        assert (len(row["key"]), len(row["revision_tag"])) == (16, 32)
    # Whatever is neither random nor copied is the same for every key of the file.
    assert len(seen[True]) == 1
    assert seen[True] == seen[False]
    # Positive control: before they are sealed, real keys carry what padding lacks, and this comparison sees it.
    await published(server)
    async with server.context.exposure.reading() as connection:
        waiting = await connection.execute(select(keys_table).where(keys_table.c.batch_number.is_(None)))
        assert all(row["report_group"] is not None for row in waiting.mappings())


async def test_a_batch_over_the_maximum_is_split_evenly_into_files_that_know_their_place(
    server: RunningServer,
) -> None:
    reports = await three_reports(server, days=10)
    small = with_settings(server, maximum_keys_per_file=13, padded_keys=0)
    assert (await seal(small.context)).files == 3
    exports = await exports_of(server)
    assert [export.key_count for export in exports] == [10, 10, 10]
    assert [(export.header.batch_num, export.header.batch_size) for export in exports] == [(1, 3), (2, 3), (3, 3)]
    found = [text for export in exports for text in texts_in(export)]
    assert set(found) == texts_of(*reports)
    assert len(found) == 30


async def test_a_second_seal_in_one_hour_makes_a_file_with_a_span_that_is_not_empty(server: RunningServer) -> None:
    for _ in range(2):
        await three_reports(server)
        await seal(server.context)
    first, second = await exports_of(server)
    assert first.header.start_s < first.header.end_s
    assert second.header.start_s < second.header.end_s
    assert len({entry.path for entry in (await index_of(server)).files}) == 2


async def test_index_txt_lists_the_same_files_oldest_first(server: RunningServer) -> None:
    for _ in range(3):
        await three_reports(server)
        await seal(server.context)
        server.clock.advance(HOUR_S)
    reply = await server.send("GET", "/exports/vn/index.txt")
    index = await index_of(server)
    assert reply.body.decode().splitlines() == [entry.path for entry in index.files]
    assert len(index.files) == 3
    ends = [export.header.end_s for export in await exports_of(server)]
    assert ends == sorted(ends)


async def test_revised_keys_go_into_the_next_file_beside_the_padded_ones_and_change_no_old_file(
    server: RunningServer,
) -> None:
    tokens, reports = [], []
    for _ in range(3):
        keys = Phone(server).past_keys()
        reports.append(keys)
        tokens.append((await published(server, keys, issue={"testType": "likely"}))["revisionToken"])
    await seal(server.context)
    server.clock.advance(HOUR_S)
    for keys, token, becomes in zip(reports, tokens, ["confirmed", "negative", "confirmed"], strict=True):
        await published(server, keys, issue={"testType": becomes}, revisionToken=token)
    assert (await seal(with_settings(server, minimum_reports_per_file=1).context)).files == 1
    first, second = await exports_of(server)
    assert {key.report_type for key in diagnosis_keys(first)} == {ReportType.CONFIRMED_CLINICAL_DIAGNOSIS}
    assert (second.key_count, second.revised_key_count) == (0, 9)
    became = {b64(key.tek.key): key.report_type for key in second.revised_keys()}
    assert {became[key["key"]] for key in reports[0]} == {ReportType.CONFIRMED_TEST}
    assert {became[key["key"]] for key in reports[1]} == {ReportType.REVOKED}
    server.clock.advance(12 * HOUR_S)
    assert (await seal(server.context)).files == 0


async def test_a_key_that_turns_negative_before_it_is_sealed_is_never_published(server: RunningServer) -> None:
    withdrawn = Phone(server).past_keys()
    token = (await published(server, withdrawn, issue={"testType": "likely"}))["revisionToken"]
    await published(server, withdrawn, issue={"testType": "negative"}, revisionToken=token)
    await three_reports(server)
    await seal(server.context)
    (export,) = await exports_of(server)
    assert not texts_of(withdrawn) & set(texts_in(export))
    assert export.revised_key_count == 0


async def test_a_key_revised_before_it_is_sealed_is_published_as_what_it_became(server: RunningServer) -> None:
    keys = Phone(server).past_keys()
    token = (await published(server, keys, issue={"testType": "user-report"}))["revisionToken"]
    await published(server, keys, issue={"testType": "confirmed"}, revisionToken=token)
    await three_reports(server)
    await seal(server.context)
    (export,) = await exports_of(server)
    types = {b64(key.tek.key): key.report_type for key in diagnosis_keys(export)}
    assert {types[key["key"]] for key in keys} == {ReportType.CONFIRMED_TEST}


async def test_the_running_server_seals_by_itself_at_each_full_hour(server: RunningServer) -> None:
    server.clock.advance(1_000)
    await three_reports(server)
    assert (await index_of(server)).files == ()
    # To the next hour and a second; the job then works through its own files and transactions.
    server.clock.advance(HOUR_S - 1_000 + 1)

    async def is_sealed() -> bool:
        return bool((await index_of(server)).files)

    await until(is_sealed)
    (export,) = await exports_of(server)
    assert export.key_count == 1_000


async def test_over_two_days_of_reports_each_key_is_in_exactly_one_file_after_its_embargo_and_in_time(
    server: RunningServer,
) -> None:
    draw = random.Random(11)
    end_of: dict[str, int] = {}
    came_at: dict[str, int] = {}
    found: dict[str, int] = {}
    files = 0
    for hour in range(70):  # the last whole day's keys are free at hour 62
        for _ in range(draw.choice([0, 0, 0, 1, 2]) if hour < 48 else 0):
            phone = Phone(server)
            keys = [*phone.past_keys(draw.randrange(3)), day_key(phone.today, draw.choice([144, phone.now % 144 or 1]))]
            await published(server, keys)
            for key in keys:
                end_of[key["key"]] = (key["rollingStartNumber"] + key["rollingPeriod"]) * 600
                came_at[key["key"]] = int(server.clock.now_s)
        # The server's own hourly job may be first; whoever it is, the file is there afterwards.
        await seal(server.context)
        for export in await exports_of(server, skip=files):
            files += 1
            for text in texts_in(export):
                assert text not in found
                found[text] = int(server.clock.now_s)
        server.clock.advance(HOUR_S)
    assert files > 3
    for text, end_s in end_of.items():
        free_s = max(end_s + 2 * HOUR_S, came_at[text])
        assert free_s <= found[text] <= free_s + 6 * HOUR_S
