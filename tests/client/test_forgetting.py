import shutil
import sqlite3
from datetime import date, timedelta

import pytest

from forewarn_client import erasures, forgetting, mending, report_state
from forewarn_client.board import FORGETTING_OVERDUE_SINCE
from forewarn_client.config import ClientSettings
from forewarn_client.device import DATABASE_FILE, Device
from forewarn_client.diary import database
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.schema import DAILY_TABLES
from forewarn_client.diary.vault import Vault, day_number
from forewarn_client.erasures import RECORDED_DAYS, Erasure
from forewarn_client.forgetting import MAY_LAG_S, forget
from forewarn_client.report_state import ReportState
from forewarn_client.status import look
from forewarn_protocol.intervals import Interval, day_at, interval_at
from forewarn_simulations.clocks import VirtualClock
from tests.byte_scan import all_of, found, none_of
from tests.client.conftest import NOON_S

TODAY = date(2025, 6, 16)
FIRST_KEPT = TODAY - timedelta(days=14)
DAY_S = 86_400
HEARD = bytes(range(16))
"""An identifier of a neighbour, the same on every day."""


async def live(device: Device, days: range) -> None:
    """Fill the diary: on each day (0 is today) some windows and an own key, and a row in every other daily table."""
    for day in days:
        noon_s = NOON_S + day * DAY_S
        for number in range(3):
            heard = {HEARD + bytes([i] * 4): [(0, -60)] * 16 for i in range(40)}
            await device.diary.record(ScanWindow(noon_s + 300 * number, 300.0, heard))
        await device.keyring.next_identifier(interval_at(noon_s))

        def plant(connection: sqlite3.Connection, day: date) -> None:
            for table in set(DAILY_TABLES) - {"scan_windows", "own_keys", "reports"}:
                sealed = device.vault.seal(connection, day, b"something of that day", b"kind")
                connection.execute(f"INSERT INTO {table} (day, sealed) VALUES (?, ?)", (day_number(day), sealed))  # noqa: S608 - ours
            if not connection.execute("SELECT 1 FROM reports").fetchone():
                report_state.store(connection, device.vault, ReportState.begin("vn", "12345678", day, None))

        await device.database.write(plant, day_at(noon_s))


async def secrets_of(device: Device, before: date, since: date = date.min) -> dict[str, set[bytes]]:
    """Return by table every wrapped key and ciphertext of the days from `since` to before `before`."""

    def gather(connection: sqlite3.Connection) -> dict[str, set[bytes]]:
        columns = {"day_keys": "wrapped", **dict.fromkeys(DAILY_TABLES, "sealed")}
        days = (day_number(max(since, date(1970, 1, 1))), day_number(before))
        return {
            table: {
                blob
                for (blob,) in connection.execute(f"SELECT {column} FROM {table} WHERE day >= ? AND day < ?", days)  # noqa: S608 - ours
            }
            for table, column in columns.items()
        }

    return await device.database.read(gather)


async def test_the_bytes_of_a_forgotten_day_are_in_the_files_before_and_not_after(device: Device) -> None:
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, FIRST_KEPT)
    kept = await secrets_of(device, date.max, FIRST_KEPT)
    # The same keys as they stood before they spoke again: replaced, and not deleted by anybody.
    for day in range(-20, -14):
        await device.keyring.next_identifier(Interval(interval_at(NOON_S + day * DAY_S) + 1))
    secrets["replaced"] = secrets["own_keys"]
    secrets["own_keys"] = (await secrets_of(device, FIRST_KEPT))["own_keys"]
    assert all_of(secrets) == {
        **dict.fromkeys(("day_keys", *DAILY_TABLES, "replaced"), 6),
        "scan_windows": 18,
        "reports": 1,
    }
    assert found(device.settings.data, secrets) == all_of(secrets)

    assert await forget(device)

    assert found(device.settings.data, secrets) == none_of(secrets)
    assert found(device.settings.data, kept) == all_of(kept)
    assert await secrets_of(device, FIRST_KEPT) == {table: set() for table in kept}
    assert FORGETTING_OVERDUE_SINCE not in await device.status.read()


async def test_no_identifier_and_no_key_ever_stands_in_a_file_unsealed(device: Device) -> None:
    await live(device, range(-20, 1))
    teks = [key.tek.key for key in await device.database.read(device.keyring.held_within, date(2025, 1, 1))]
    plain = {"heard": [HEARD], "teks": teks, "code": [b"12345678"]}
    assert len(teks) == 21
    assert found(device.settings.data, plain) == none_of(plain)
    await forget(device)
    assert found(device.settings.data, plain) == none_of(plain)
    # Positive control: what some careless job might leave behind is found, whatever its name.
    (device.settings.data / ".cache").mkdir()
    (device.settings.data / ".cache" / "window~").write_bytes(b"..." + HEARD + b"..." + b"".join(teks) + b"12345678")
    assert found(device.settings.data, plain) == all_of(plain)


_PLAIN_DELETES = tuple(pragma for pragma in database._PRAGMAS if "secure_delete" not in pragma)
_NOTHING = "SELECT 0, 0, 0"


@pytest.mark.parametrize(
    ("protections_off", "left"),
    [
        (((database, "_EMPTY_LOG", _NOTHING),), set(DAILY_TABLES) | {"day_keys"}),
        (
            ((database, "_PRAGMAS", (*_PLAIN_DELETES, "PRAGMA secure_delete = OFF")), (database, "_REBUILD", _NOTHING)),
            {"day_keys", "scan_windows"},
        ),
        (((forgetting, "_delete_rows", lambda *_: None),), set(DAILY_TABLES)),
        (((Vault, "forget_before", lambda *_: 0),), {"day_keys"}),
    ],
    ids=[
        "the log is not emptied",
        "deleted rows are neither zeroed nor is the file rebuilt",
        "the keys go and the rows stay",
        "the rows go and the keys stay",
    ],
)
async def test_the_scan_finds_what_forgetting_leaves_when_a_part_of_it_is_missing(
    settings: ClientSettings,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    protections_off: tuple[tuple[object, str, object], ...],
    left: set[str],
) -> None:
    """Positive controls; zeroing and rebuilding stand in for each other, so both are off at once."""
    for owner, name, value in protections_off:
        monkeypatch.setattr(owner, name, value)
    async with Device.open(settings, clock) as device:
        await live(device, range(-20, 1))
        secrets = await secrets_of(device, FIRST_KEPT)
        await forget(device)
        still = {kind for kind, count in found(settings.data, secrets).items() if count}
        assert left <= still
        assert still <= set(secrets)


async def test_fourteen_days_and_today_are_kept(device: Device, clock: VirtualClock) -> None:
    await live(device, range(-16, 1))
    await forget(device)
    days = await device.diary.encounters_per_day(date(2025, 1, 1))
    assert list(days) == [TODAY - timedelta(days=days) for days in range(14, -1, -1)]
    await clock.run_for(DAY_S / 2 - 1)  # one second before midnight
    await forget(device)
    assert len(await device.diary.encounters_per_day(date(2025, 1, 1))) == 15
    await clock.run_for(1)
    await forget(device)
    assert min(await device.diary.encounters_per_day(date(2025, 1, 1))) == TODAY - timedelta(days=13)


async def test_forgetting_is_overdue_while_another_program_reads_the_old_pages(
    device: Device, clock: VirtualClock
) -> None:
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, FIRST_KEPT)
    reader = sqlite3.connect(device.settings.data / "diary.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM scan_windows").fetchone()

    await device.database.read(lambda c: c.execute("PRAGMA busy_timeout = 50").fetchone())
    assert not await forget(device)
    assert found(device.settings.data, secrets) == all_of(secrets)
    await clock.run_for(13 * 3600)  # the day changes; what is overdue, and since when, does not
    assert not await forget(device)
    told = await look(device)
    assert told.as_json()["forgetting_overdue_since"] == "2025-06-16T12:00:00Z"
    assert "overdue since 2025-06-16T12:00:00Z" in told.as_text()
    assert [erasure["overwritten"] for erasure in told.as_json()["erasures"]] == [None, None]

    reader.close()
    assert await forget(device)
    told = await look(device)
    assert told.as_json()["forgetting_overdue_since"] is None
    assert "up to date: what was before 2025-06-03 is gone" in told.as_text()
    assert [erasure["overwritten"] for erasure in told.as_json()["erasures"]] == ["2025-06-17", "2025-06-17"]
    assert found(device.settings.data, secrets) == none_of(secrets)


async def test_a_break_after_the_keys_are_destroyed_is_mended_by_the_next_call(device: Device) -> None:
    await live(device, range(-20, 1))
    secrets = await secrets_of(device, FIRST_KEPT)
    await device.database.write(forgetting._destroy_keys, device.vault, FIRST_KEPT, NOON_S)
    assert (await secrets_of(device, FIRST_KEPT))["scan_windows"]
    assert await forget(device)
    assert not any((await secrets_of(device, FIRST_KEPT)).values())
    assert found(device.settings.data, secrets) == none_of(secrets)


async def test_a_days_key_is_destroyed_before_its_rows_are_touched(device: Device) -> None:
    await live(device, range(-20, 1))
    fault = "CREATE TRIGGER fault BEFORE DELETE ON scan_windows BEGIN SELECT RAISE(ABORT, 'rows stay'); END"
    await device.database.write(sqlite3.Connection.execute, fault)
    with pytest.raises(sqlite3.IntegrityError, match="rows stay"):
        await forget(device)

    def days(connection: sqlite3.Connection, table: str) -> int:
        found: int = connection.execute("SELECT min(day) FROM " + table).fetchone()[0]  # noqa: S608 - two constants
        return found

    assert await device.database.read(days, "scan_windows") < day_number(FIRST_KEPT)
    assert await device.database.read(days, "day_keys") == day_number(FIRST_KEPT)


async def test_with_nothing_to_forget_nothing_is_written(device: Device) -> None:
    await live(device, range(-3, 1))
    log = device.settings.data / "diary.db-wal"
    before = log.read_bytes()
    assert await forget(device)
    assert log.read_bytes() == before


async def test_days_that_nobody_came_for_are_overdue_though_no_run_failed(device: Device, clock: VirtualClock) -> None:
    await live(device, range(-14, 1))
    await clock.run_for(
        DAY_S / 2 + MAY_LAG_S
    )  # midnight, at which the oldest day is due, and the time a daemon may take
    assert (await look(device)).forgetting_overdue_since_s is None
    await clock.run_for(1)
    told = await look(device)
    assert told.forgetting_overdue_since_s == NOON_S + DAY_S / 2
    assert "start the daemon with 'run'" in told.as_text()
    assert await forget(device)
    assert (await look(device)).forgetting_overdue_since_s is None


async def test_the_record_says_when_and_up_to_which_day_and_nothing_of_what_was_forgotten(
    device: Device, clock: VirtualClock
) -> None:
    await live(device, range(-20, 1))
    for _ in range(2):
        await forget(device)  # the second one finds nothing to do, and nothing to record
    assert (await look(device)).as_json()["erasures"] == [
        {"day": "2025-06-16", "forgotten_before": "2025-06-02", "days": 6, "overwritten": "2025-06-16"}
    ]
    await clock.run_for(DAY_S)
    await forget(device)
    assert await device.database.read(erasures.recorded) == [
        Erasure(TODAY, FIRST_KEPT, 6, TODAY),
        Erasure(TODAY + timedelta(days=1), FIRST_KEPT + timedelta(days=1), 1, TODAY + timedelta(days=1)),
    ]


async def test_two_diaries_full_and_nearly_empty_leave_the_same_record(settings: ClientSettings) -> None:
    """How many people were met on the days that are gone must not be what stays of them."""
    records = []
    for name, neighbours in (("full", 200), ("empty", 0)):
        own = settings.model_copy(update={"data": settings.data / name})
        async with Device.open(own, VirtualClock(NOON_S)) as device:
            for day in range(-20, 1):
                heard = {HEARD + bytes([i] * 4): [(0, -60)] for i in range(neighbours)}
                await device.diary.record(ScanWindow(NOON_S + day * DAY_S, 300.0, heard))
                await device.keyring.next_identifier(interval_at(NOON_S + day * DAY_S))
            await forget(device)
            records.append(await device.database.read(lambda c: c.execute("SELECT * FROM erasures").fetchall()))
    assert records[0] == records[1]
    assert len(records[0]) == 1


async def test_the_record_is_itself_forgotten(device: Device, clock: VirtualClock) -> None:
    await live(device, range(-20, 1))
    await forget(device)
    for days in (RECORDED_DAYS - 1, 1):
        await clock.run_for(days * DAY_S)
        await device.diary.record(ScanWindow(clock.utc() - 20 * DAY_S, 300.0, {HEARD + bytes(4): [(0, -60)]}))
        await forget(device)
    assert [erasure.day for erasure in await device.database.read(erasures.recorded)] == [
        TODAY + timedelta(days=RECORDED_DAYS - 1),
        TODAY + timedelta(days=RECORDED_DAYS),
    ]


async def test_copies_of_a_mending_that_was_killed_are_gone_with_the_next_start(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    """They hold keys of days, and no forgetting would ever reach them."""
    data = settings.data
    async with Device.open(settings, clock) as device:
        await live(device, range(-20, 1))
        secrets = await secrets_of(device, FIRST_KEPT)
        for name in (DATABASE_FILE, f"{DATABASE_FILE}-wal"):
            shutil.copy(data / name, data / name.replace(DATABASE_FILE, mending.UNFINISHED_FILE))
        assert await forget(device)
        assert found(data, secrets) == all_of(secrets)
    mending.finish(data)  # as every start of a daemon does
    assert found(data, secrets) == none_of(secrets)
