import asyncio
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from forewarn_client.diary import database as database_module
from forewarn_client.diary.database import Database, connect_to_read
from forewarn_client.diary.entries import Entries
from forewarn_client.diary.schema import SCHEMA_VERSION
from forewarn_client.diary.vault import Vault, day_number
from forewarn_protocol.errors import BadInput, ForewarnError, Missing


def note(connection: sqlite3.Connection, name: str, value: str = "1") -> None:
    connection.execute("INSERT INTO status (name, value) VALUES (?, ?)", (name, value))


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM status ORDER BY name")]


async def test_the_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "diary.db"
    database = await Database.open(path)
    await database.write(note, "a")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {"diary.db", "diary.db-wal", "diary.db-shm"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await database.close()


async def test_what_was_written_is_durable_and_deleted_bytes_are_overwritten(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")

    def pragmas(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "secure_delete", "temp_store", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.read(pragmas) == ["wal", 2, 1, 2, 10_000]
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")

    def half(connection: sqlite3.Connection) -> None:
        note(connection, "half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(half)
    assert await database.read(names) == []
    await database.close()


async def test_a_cancelled_transaction_is_whole_or_not_there(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")
    entered, leave = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        note(connection, "first")
        entered.set()
        assert leave.wait(10)
        note(connection, "second")

    begun = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(entered.wait, 10)
    waiting = asyncio.create_task(database.write(note, "never begun"))
    await asyncio.sleep(0)
    for task in (begun, waiting):
        task.cancel()
    await asyncio.gather(begun, waiting, return_exceptions=True)
    assert begun.cancelled()
    assert waiting.cancelled()
    leave.set()
    assert await database.read(names) == ["first", "second"]
    await database.close()


async def test_two_openings_of_one_database_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    one, other = await asyncio.gather(Database.open(path), Database.open(path))

    def count_up(connection: sqlite3.Connection) -> None:
        (count,) = connection.execute("SELECT coalesce(max(value), 0) FROM status").fetchone()
        connection.execute("INSERT OR REPLACE INTO status (name, value) VALUES ('n', ?)", (str(int(count) + 1),))

    await asyncio.gather(*(database.write(count_up) for _ in range(20) for database in (one, other)))
    assert await one.read(lambda c: c.execute("SELECT value FROM status").fetchone()[0]) == "40"
    await one.close()
    await other.close()


async def test_a_database_of_a_newer_forewarn_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Missing, match="newer Forewarn"):
        await Database.open(path)
    after = sqlite3.connect(path)
    assert after.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert after.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
    after.close()
    assert len(path.read_bytes()) == len(before)


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (b"this is no database, but it is long enough to be looked at" * 20, BadInput, "is no diary"),
        (b"SQLite format 3\x00" + b"\xff" * 4080, BadInput, "diary"),
    ],
)
async def test_a_file_that_is_no_diary_is_told_in_one_line(
    tmp_path: Path, fault: bytes, kind: type[ForewarnError], says: str
) -> None:
    path = tmp_path / "diary.db"
    path.write_bytes(fault)
    with pytest.raises(kind, match=says):
        await Database.open(path)
    assert path.read_bytes() == fault


async def test_a_damaged_page_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    database = await Database.open(path)
    await database.write(lambda c: [note(c, str(i), "x" * 500) for i in range(100)])
    await database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    database = await Database.open(path)
    with pytest.raises(BadInput, match="is damaged: 'run' begins it anew"):
        await database.read(names)
    await database.close()


async def test_a_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Missing, match="give another --data"):
        await Database.open(tmp_path / "file" / "diary.db")
    (tmp_path / "folder" / "diary.db").mkdir(parents=True)
    with pytest.raises(Missing, match="cannot be written"):
        await Database.open(tmp_path / "folder" / "diary.db")


async def test_a_database_held_by_another_program_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_PRAGMAS", ("PRAGMA busy_timeout = 10", *database_module._PRAGMAS[1:]))
    database = await Database.open(tmp_path / "diary.db")
    holder = sqlite3.connect(tmp_path / "diary.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Missing, match="held by another program"):
        await database.write(note, "a")
    holder.close()
    await database.write(note, "a")
    await database.close()


async def test_a_full_disk_is_told_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")
    await database.write(note, "kept")
    # SQLite's own limit stands in for the disk's: it raises the same error at the same place.
    await database.read(lambda c: c.execute("PRAGMA max_page_count = 25").fetchone())
    with pytest.raises(Missing, match="the disk is full"):
        await database.write(lambda c: [note(c, f"n{i}", "x" * 3000) for i in range(100)])
    assert await database.read(names) == ["kept"]
    await database.close()


async def test_a_mistake_in_our_own_statement_is_no_fault_of_the_person(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.read(lambda c: c.execute("SELECT * FROM elsewhere"))
    await database.close()


@pytest.mark.parametrize("in_pages", [True, False])
async def test_a_reader_keeps_nothing_of_what_is_forgotten_while_it_reads(tmp_path: Path, *, in_pages: bool) -> None:
    """Positive control: one that reads in a transaction holds its state of the diary, and the log stays as it is."""
    entries = Entries("scan_windows", b"", lambda _, sealed: sealed)
    vault = Vault.open(tmp_path / "device.key")
    day = date(2025, 6, 16)
    database = await Database.open(tmp_path / "diary.db")
    await database.write(lambda connection: connection.execute("PRAGMA busy_timeout = 1").fetchone())

    def fill(connection: sqlite3.Connection) -> None:
        rows = [(day_number(day), vault.seal(connection, day, bytes(5000), b"")) for _ in range(100)]
        connection.executemany("INSERT INTO scan_windows (day, sealed) VALUES (?, ?)", rows)

    await database.write(fill)
    with closing(connect_to_read(tmp_path / "diary.db")) as reading:
        if not in_pages:
            reading.execute("BEGIN")
        walk = entries.read(reading, vault, day)
        assert next(walk) == bytes(5000)
        await database.write(lambda connection: connection.execute("DELETE FROM scan_windows").rowcount)
        assert await database.wipe_free_pages() is in_pages
        assert len(list(walk)) == (15 if in_pages else 99)
    await database.close()


async def test_who_opens_a_diary_to_read_can_change_nothing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "diary.db")
    reading = connect_to_read(tmp_path / "diary.db")
    with closing(reading), pytest.raises(sqlite3.OperationalError, match="readonly"):
        note(reading, "a")
    with pytest.raises(Missing, match="cannot be opened"):
        connect_to_read(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    await database.close()


@pytest.mark.parametrize("table", ["scan_windows", "matches", "own_keys", "anomalies"])
async def test_a_page_of_entries_is_found_by_the_index_and_never_sorted(tmp_path: Path, table: str) -> None:
    asked: list[str] = []
    database = await Database.open(tmp_path / "diary.db")
    with closing(connect_to_read(tmp_path / "diary.db")) as reading:
        reading.set_trace_callback(asked.append)
        assert list(Entries(table, b"", lambda _, sealed: sealed).read(reading, Vault(bytes(32)))) == []
        plan = " ".join(str(row[3]) for row in reading.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))
    assert f"USING INDEX {table}_by_day" in plan
    assert "TEMP B-TREE" not in plan
    await database.close()
