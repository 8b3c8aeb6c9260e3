import asyncio
import sqlite3

import pytest
from sqlalchemy import insert, select, text

from forewarn_protocol.errors import Missing
from forewarn_server.config import ServerSettings
from forewarn_server.context import open_context
from forewarn_server.store.registry_tables import audit
from tests.server.hand_clock import HandClock

ACT = {"at_s": 1, "actor": "x", "act": "issue", "detail": "1 codes"}


async def test_a_write_that_fails_leaves_nothing(settings: ServerSettings, clock: HandClock) -> None:
    async with open_context(settings, clock) as context:

        async def fail() -> None:
            async with context.registry.writing() as connection:
                await connection.execute(insert(audit).values(ACT))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with context.registry.reading() as connection:
            assert (await connection.execute(select(audit))).all() == []


async def test_a_cancelled_write_leaves_nothing_and_the_next_gets_its_turn(
    settings: ServerSettings, clock: HandClock
) -> None:
    async with open_context(settings, clock) as context:
        written = asyncio.Event()

        async def never_ends() -> None:
            async with context.registry.writing() as connection:
                await connection.execute(insert(audit).values(ACT))
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(never_ends())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with context.registry.writing() as connection:
            assert (await connection.execute(select(audit))).all() == []


@pytest.mark.parametrize("pause_s", [i * 0.002 for i in range(12)])
async def test_a_write_cancelled_inside_a_statement_locks_nobody_out(
    settings: ServerSettings, clock: HandClock, pause_s: float
) -> None:
    async with open_context(settings, clock) as context:

        async def write() -> None:
            async with context.registry.writing() as connection:
                for _ in range(50):
                    await connection.execute(insert(audit).values(ACT).returning(audit.c.id))

        task = asyncio.create_task(write())
        await asyncio.sleep(pause_s)  # somewhere inside; where exactly does not matter
        task.cancel()
        await asyncio.wait((task,))  # the task stays alive, and with it whatever its traceback holds
        async with context.registry.writing() as connection:
            assert len((await connection.execute(select(audit))).all()) in {0, 50}


async def test_a_read_sees_one_moment(settings: ServerSettings, clock: HandClock) -> None:
    async with open_context(settings, clock) as context, context.registry.reading() as before:
        assert (await before.execute(select(audit))).all() == []
        async with context.registry.writing() as connection:
            await connection.execute(insert(audit).values(ACT))
        assert (await before.execute(select(audit))).all() == []
        async with context.registry.reading() as after:
            assert len((await after.execute(select(audit))).all()) == 1


@pytest.mark.parametrize(("pragma", "value"), [("synchronous", 2), ("secure_delete", 1), ("journal_mode", "wal")])
async def test_every_connection_is_durable_and_overwrites_what_it_deletes(
    settings: ServerSettings, clock: HandClock, pragma: str, value: object
) -> None:
    async with open_context(settings, clock) as context:
        for database in (context.exposure, context.registry):
            for connecting in (database.reading, database.writing):
                async with connecting() as connection:
                    assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value


async def test_a_full_disk_is_the_machines_fault_in_one_line(settings: ServerSettings, clock: HandClock) -> None:
    async with open_context(settings, clock) as context:
        async with context.registry.reading() as connection:
            await connection.execute(text("PRAGMA max_page_count = 1"))  # SQLite's own way to be full

        async def fill() -> None:
            async with context.registry.writing() as connection:
                await connection.execute(insert(audit), [{**ACT, "detail": "x" * 100} for _ in range(1_000)])

        with pytest.raises(Missing, match="free disk space"):
            await fill()
        async with context.registry.reading() as connection:
            assert (await connection.execute(select(audit))).all() == []


async def test_two_processes_write_in_turn(settings: ServerSettings, clock: HandClock) -> None:
    """A command at the server's console while the server runs."""
    async with open_context(settings, clock) as one, open_context(settings, clock) as other:

        async def write(count: int) -> None:
            for i in range(count):
                async with (one, other)[i % 2].registry.writing() as connection:
                    await connection.execute(insert(audit).values(ACT))

        await asyncio.gather(write(10), write(10))
    connection = sqlite3.connect(settings.data / "registry.db")
    assert connection.execute("SELECT count(*) FROM audit").fetchone() == (20,)
    connection.close()
