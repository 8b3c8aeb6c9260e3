"""Every byte under DATA is searched for what a case left behind: first found, then, when it is due, not found."""

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Gauge
from sqlalchemy import select, text

from forewarn_server.audit import record
from forewarn_server.config import ServerSettings
from forewarn_server.exports.sealing import exports_folder, seal
from forewarn_server.hours import DAY_S, HOUR_S
from forewarn_server.retention import forgetting
from forewarn_server.retention.erasures import recorded
from forewarn_server.retention.forgetting import forget
from forewarn_server.retention.overdue import LATEST_S, Overdue
from forewarn_server.store import engine
from forewarn_server.store.exposure_tables import batches, codes, keys, publishes, tokens
from forewarn_server.store.registry_tables import issued
from tests.byte_scan import all_of, found, none_of
from tests.server.hand_clock import HandClock
from tests.server.published_files import index_of, let_pass
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import RunningServer, running

ACTOR = "nurse 7f3a of ward 3"
DUE_S = {
    # Tokens after a day, publishes two hours later.
    "a token": DAY_S + 2 * HOUR_S,
    "a code": 4 * DAY_S,
    "a file": 14 * DAY_S,
    "a month": 30 * DAY_S,
    "a year": 365 * DAY_S,
}
_WITHOUT_SECURE_DELETE = (*engine._PRAGMAS, "PRAGMA secure_delete = OFF")


PADDED_KEYS = 50
"""Enough to see padding forgotten with the rest; each key costs a search of every file."""


@pytest.fixture
def settings(data: Path) -> ServerSettings:
    return ServerSettings.load(data, padded_keys=PADDED_KEYS)


def value_of(gauge: Gauge) -> float:
    return next(iter(next(iter(gauge.collect())).samples)).value


async def column(server: RunningServer, name: str, table: Any) -> set[bytes]:
    database = server.context.registry if table is issued else server.context.exposure
    async with database.reading() as connection:
        values = (await connection.execute(select(table.c[name]))).scalars().all()
    return {value.encode() if isinstance(value, str) else value for value in values if value is not None}


async def a_case(server: RunningServer) -> dict[str, dict[str, set[bytes]]]:
    """Let three people report, one revise, and return what stands on disk, by when it is due."""
    for _ in range(2):
        await published(server, issue={"testType": "likely"})
    likely = Phone(server).past_keys()
    token = (await published(server, likely, issue={"testType": "likely"}))["revisionToken"]
    groups = await column(server, "report_group", keys)
    assert (await seal(server.context)).files == 1
    await published(server, likely, revisionToken=token)
    server.clock.now_s += 6 * HOUR_S
    assert (await seal(server.context)).files == 1
    async with server.context.registry.writing() as connection:
        await record(connection, server.context.now_s(), ACTOR, "issue", "4 codes")
    sha256 = {value.hex().encode() for value in await column(server, "sha256", batches)}
    paths = {entry.path.encode() for entry in (await index_of(server)).files}
    return {
        "a token": {
            "token hashes": await column(server, "token_hash", tokens),
            "jti": await column(server, "jti", tokens) | await column(server, "jti", publishes),
            "the keys' hmac": await column(server, "tekmac", publishes) | await column(server, "ekeyhmac", tokens),
            "body hashes": await column(server, "body_hash", publishes),
            "groups": groups,
        },
        "a code": {
            "short codes": await column(server, "short_hash", codes),
            "long codes": await column(server, "long_hash", codes),
            "nonces": await column(server, "nonce_hash", codes),
        },
        "a file": {
            "keys": await column(server, "key", keys),
            "revision tags": await column(server, "revision_tag", keys),
            "hashes in the index": sha256,
            "names in the index": paths,
        },
        "a month": {"uuids": await column(server, "uuid", issued)},
        "a year": {"acts": {ACTOR.encode()}},
    }


async def test_each_trace_of_a_case_is_in_some_byte_until_it_is_due_and_in_none_after(server: RunningServer) -> None:
    data, start_s = server.context.settings.data, server.clock.now_s
    case = await a_case(server)
    assert all(values for secrets in case.values() for values in secrets.values())
    for name, secrets in case.items():
        assert found(data, secrets) == all_of(secrets), name
    gone = set()
    for name, lives_s in DUE_S.items():
        # Nobody is woken: the run under test does all the work. A day is the grain of the longest.
        server.clock.now_s = start_s + lives_s + DAY_S
        assert (await forget(server.context)).overwritten
        gone.add(name)
        for other, secrets in case.items():
            expected = none_of(secrets) if other in gone else all_of(secrets)
            assert found(data, secrets) == expected, f"{other} after {name}"
        if name == "a code":
            # The registry still knows which codes were issued; the anonymous zone does not.
            assert found(data, case["a month"], "exposure.db*") == {"uuids": 0}
    assert not list(exports_folder(server.context.settings).glob("*.zip"))


async def test_what_a_crash_left_half_written_is_forgotten_with_the_rest(server: RunningServer) -> None:
    folder = exports_folder(server.context.settings)
    left_over = folder / ".1622462400-1622466000-00001.zip.0a1b2c3d"
    left_over.write_bytes(b"half an export")
    await forget(server.context)
    assert not left_over.exists()
    assert (folder / "index.json").exists()


async def _no_index(_: object) -> None: ...


@pytest.mark.parametrize(
    ("protections_off", "left"),
    [
        (((engine, "_EMPTY_LOG", "SELECT 0, 0, 0"),), {"keys", "revision tags"}),
        (
            ((engine, "_PRAGMAS", _WITHOUT_SECURE_DELETE), (engine, "_REBUILD", ())),
            {"keys", "revision tags"},
        ),
        (((forgetting, "_delete_files", lambda *_: None),), {"keys", "names in the index"}),
        (((forgetting, "publish_index", _no_index),), {"names in the index", "hashes in the index"}),
    ],
    ids=[
        "the log is not emptied",
        "deleted rows are neither zeroed nor is the file rebuilt",
        "the files stay",
        "the index stays",
    ],
)
async def test_the_scan_finds_what_forgetting_leaves_when_a_part_of_it_is_missing(
    settings: ServerSettings,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    protections_off: tuple[tuple[object, str, object], ...],
    left: set[str],
) -> None:
    """Positive controls; zeroing and rebuilding stand in for each other, so both are off at once."""
    for owner, name, value in protections_off:
        monkeypatch.setattr(owner, name, value)
    async with running(settings, clock) as server:
        secrets = (await a_case(server))["a file"]
        server.clock.now_s += 14 * DAY_S
        await forget(server.context)
        still = {kind for kind, count in found(settings.data, secrets).items() if count}
    assert left <= still


async def test_the_group_that_counts_a_publish_in_the_mix_is_gone_within_a_day_of_the_seal(
    server: RunningServer,
) -> None:
    """It links the keys of one person; the seal empties it, and the log keeps old pages until it is emptied too."""
    await published(server)
    data, groups = server.context.settings.data, {"groups": await column(server, "report_group", keys)}
    server.clock.now_s += 6 * HOUR_S
    assert (await seal(server.context)).files == 1
    await forget(server.context)
    assert found(data, groups) == {"groups": 0}


async def test_a_reader_in_the_way_is_told_recorded_and_measured_until_the_next_run_finishes(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    data, overdue = server.context.settings.data, server.context.metrics.forgetting_overdue_seconds
    for _ in range(3):
        await published(server)
    await seal(server.context)
    secrets = {"keys": await column(server, "key", keys)}
    assert value_of(overdue) == 0
    await let_pass(server, 14 * DAY_S - HOUR_S + 1)
    async with server.context.exposure.reading() as connection:
        await connection.execute(select(keys).limit(1))
        with caplog.at_level("WARNING", "forewarn_server"):
            await let_pass(server, HOUR_S)
        assert "forgetting overdue" in caplog.text
        assert found(data, secrets) == {"keys": PADDED_KEYS}
        assert (await recorded(server.context))[-1].overwritten_day is None
        server.clock.now_s += 600
        assert value_of(overdue) == 600
    await let_pass(server, HOUR_S)
    assert value_of(overdue) == 0
    assert found(data, secrets) == none_of(secrets)
    today = int(server.clock.now_s) // DAY_S
    assert (await recorded(server.context))[-1].overwritten_day == today


def test_forgetting_is_overdue_when_no_run_has_come_for_26_hours() -> None:
    clock = HandClock()
    overdue = Overdue(clock)
    for _ in range(2):
        clock.advance(LATEST_S)
        assert overdue.seconds() == 0
        clock.advance(60)
        assert overdue.seconds() == 60
        overdue.finished()
        assert overdue.seconds() == 0
    overdue.failed()
    clock.advance(60)
    overdue.failed()
    assert overdue.seconds() == 60


async def test_a_run_that_fails_is_overdue_at_once(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    async with server.context.exposure.writing() as connection:
        # A fault in the database: whatever it is, the job says so and comes again.
        await connection.execute(text("ALTER TABLE tokens RENAME TO elsewhere"))
    with caplog.at_level("ERROR", "forewarn_server"):
        await let_pass(server, HOUR_S + 1)
    assert "job failed" in caplog.text
    server.clock.now_s += 30
    assert value_of(server.context.metrics.forgetting_overdue_seconds) == 30


async def test_the_record_counts_and_dates_and_holds_nothing_of_a_case(server: RunningServer) -> None:
    case = await a_case(server)
    server.clock.now_s += 14 * DAY_S
    forgotten = await forget(server.context)
    await forget(server.context)
    erasure = (await recorded(server.context))[-1]
    assert erasure.as_json() == {
        "day": "2021-06-14",
        "deleted": {"keys": PADDED_KEYS, "batches": 2, "codes": 4, "tokens": 4, "publishes": 4, "files": 2},
        "overwritten": "2021-06-14",
    }
    assert dict(erasure.deleted) == {name: count for name, count in forgotten.rows.items() if count} | {"files": 2}
    text_of_it = json.dumps(erasure.as_json()).encode()
    assert not any(each in text_of_it for secrets in case.values() for values in secrets.values() for each in values)


async def test_the_record_is_itself_forgotten_after_a_year(server: RunningServer) -> None:
    await forget(server.context)
    first = (await recorded(server.context))[0]
    server.clock.now_s += 364 * DAY_S
    await forget(server.context)
    assert first in await recorded(server.context)
    server.clock.now_s += DAY_S
    await forget(server.context)
    assert first not in await recorded(server.context)
