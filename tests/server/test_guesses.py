"""Wrong tries times living codes: over what is allowed in a day, new codes are long ones only."""

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from forewarn_server.codes.guesses import ALLOWED_A_DAY, Guesses
from forewarn_server.hours import DAY_S
from forewarn_server.retention.forgetting import forget
from forewarn_server.store.exposure_tables import guesses
from tests.server.hand_clock import NOON
from tests.server.published_files import let_pass
from tests.server.running_server import RunningServer

MANY = 10_000
"""Living codes of a bad day: with them a wrong try counts a hundredth of what is allowed."""


async def plant(server: RunningServer, count: int, **values: object) -> None:
    """Let so many codes have been issued that nobody has claimed."""
    row = {"short_expires_s": NOON + 900, "short_hash": True, "nonce_hash": None, **values}
    many = text(
        "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :count) "
        "INSERT INTO codes (uuid, short_hash, long_hash, short_expires_s, long_expires_s, test_type, nonce_hash) "
        "SELECT n, CASE WHEN :short_hash THEN randomblob(32) END, randomblob(32), :short_expires_s, :long_expires_s, "
        "'confirmed', :nonce_hash FROM counted"
    )
    async with server.context.exposure.writing() as connection:
        await connection.execute(many, {**row, "count": count, "long_expires_s": NOON + DAY_S})


async def after_many_guesses(server: RunningServer) -> None:
    """Let 97 of 100 have been used up."""
    await plant(server, MANY)
    async with server.context.exposure.writing() as connection:
        await connection.execute(insert(guesses).values(utc_day=NOON // DAY_S, tries_times_living=97 * MANY))


async def guess(server: RunningServer, times: int, code: str = "00000000") -> None:
    for _ in range(times):
        assert (await server.post("/api/verify", {"code": code})).status == 400


def measured(server: RunningServer) -> float:
    (line,) = [line for line in server.context.metrics.text().decode().splitlines() if line.startswith("forewarn_exp")]
    return float(line.split()[1])


def is_long(issued: Any) -> bool:
    assert len(issued["longCode"]) == 16
    return bool(issued["code"] == issued["longCode"])


async def test_over_the_allowed_guesses_new_codes_are_long_until_the_day_is_over(server: RunningServer) -> None:
    before = await server.new_code()
    assert not is_long(before)
    await after_many_guesses(server)
    await guess(server, 1)
    assert not is_long(await server.new_code())
    await guess(server, 1)
    assert measured(server) == pytest.approx(0.0099, rel=1e-3)
    assert measured(server) <= ALLOWED_A_DAY
    issued = await server.new_code()
    assert is_long(issued)
    assert issued["expiresAtTimestamp"] == issued["longExpiresAtTimestamp"] == NOON + DAY_S
    assert issued["expiresAt"] == issued["longExpiresAt"]
    status = (await server.staff("/api/checkcodestatus", {"uuid": issued["uuid"]})).json
    assert status["expiresAtTimestamp"] == NOON + DAY_S
    # What was told before still works, and so does the long one.
    for code in (before["code"], issued["code"]):
        assert (await server.post("/api/verify", {"code": code})).status == 200
    midnight = int(datetime(2021, 6, 1, tzinfo=UTC).timestamp())
    server.clock.now_s = midnight - 1
    assert is_long(await server.new_code())
    server.clock.now_s = midnight
    assert not is_long(await server.new_code())
    assert measured(server) == 0


async def test_with_the_counting_switched_off_a_guesser_goes_on_for_ever(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the test above."""

    async def not_counted(*_: object) -> None: ...

    monkeypatch.setattr(Guesses, "note_wrong_try", not_counted)
    await after_many_guesses(server)
    await guess(server, 10)
    assert not is_long(await server.new_code())


async def test_a_command_and_a_server_that_starts_again_know_what_was_counted(server: RunningServer) -> None:
    await after_many_guesses(server)
    await guess(server, 2)
    fresh = Guesses()
    async with server.context.exposure.reading() as connection:
        assert await fresh.are_too_many(connection, NOON)
        assert not await fresh.are_too_many(connection, NOON + DAY_S)


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("0" * 16, {}),
        ("0" * 7, {}),
        ("0" * 8, {"nonce_hash": bytes(32)}),
        ("0" * 8, {"short_expires_s": NOON}),
        ("0" * 8, {"short_hash": None}),
    ],
    ids=["a long code", "no code", "all codes are claimed", "all codes have expired", "all codes are long"],
)
async def test_only_short_tries_against_short_codes_that_live_count(
    server: RunningServer, code: str, fields: dict[str, Any]
) -> None:
    await plant(server, MANY, **fields)
    await guess(server, 2, code)
    assert measured(server) == 0


async def test_chaff_is_no_guess(server: RunningServer) -> None:
    await plant(server, MANY)
    for _ in range(2):
        assert (await server.post("/api/verify", {"code": "00000000"}, x_chaff="1")).status == 200
    assert measured(server) == 0
    await guess(server, 2)
    assert measured(server) == 2 * 10_000 / 10**8


def everything_in(server: RunningServer) -> dict[str, Any]:
    found = {}
    for path in server.context.settings.data.glob("*.db"):
        connection = sqlite3.connect(path)
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found[table] = connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - the schema's name
        connection.close()
    return found


async def test_of_wrong_tries_one_number_a_day_is_kept_and_that_only_for_the_day(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await plant(server, MANY)
    await let_pass(server, 0)
    before = everything_in(server)
    await guess(server, 3)
    after = everything_in(server)
    assert {table for table in after if after[table] != before[table]} == {"guesses"}
    assert after["guesses"] == [(NOON // DAY_S, 30_000)]
    assert "00000000" not in caplog.text
    server.clock.now_s += DAY_S
    await forget(server.context)
    async with server.context.exposure.reading() as connection:
        assert (await connection.execute(select(guesses))).all() == []


async def test_a_slip_of_the_finger_is_in_no_metric_and_in_no_row(server: RunningServer) -> None:
    await server.new_code()
    await guess(server, 2)
    assert measured(server) == 0
    assert everything_in(server)["guesses"] == []
    assert "expected_guesses" in json.dumps(server.context.metrics.text().decode())
