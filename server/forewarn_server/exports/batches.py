"""What the exposure database knows about waiting keys and batches, in the words of sealing.

A batch is claimed (its keys carry its number and will be in no other), then finished (its file is on disk), then
listed. Each step is one transaction, so a crash between two of them is completed by the next seal.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, exists, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.intervals import INTERVAL_S, Interval
from forewarn_protocol.keys import DiagnosisKey, ReportType, TemporaryExposureKey
from forewarn_server.exports.padding import COPIED, padding_keys
from forewarn_server.exports.planning import FilePlan, SealingRules, Waiting, due, files
from forewarn_server.hours import HOUR_S, hour_of
from forewarn_server.store.engine import Database
from forewarn_server.store.exposure_tables import batches, keys

_PAGE_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Batch:
    """One export file, claimed or finished; times are full hours in Unix seconds."""

    number: int
    start_s: int
    end_s: int
    place: int
    places: int
    keys: int
    sha256: bytes | None
    bytes: int | None
    export_key: str | None

    @property
    def name(self) -> str:
        """The file's name: times and a running number, nothing that says what is in it."""
        return f"{self.start_s}-{self.end_s}-{self.number:05d}.zip"


async def waiting(connection: AsyncConnection, condition: ColumnElement[bool], since: ColumnElement[Any]) -> Waiting:
    """Count the keys that a condition selects, and the publishes they came in."""
    count = select(func.count(), func.count(keys.c.report_group.distinct()), func.min(since)).where(condition)
    return Waiting(*(await connection.execute(count)).one())


async def claim(database: Database, rules: SealingRules, now_s: int) -> list[Batch]:
    """Give every key that is due to new batches, padding included, in one transaction; none when nothing is due.

    Two seals at once claim one after the other, and the second one finds nothing waiting.
    """
    async with database.writing() as connection:
        # Each list of a file has a mix of its own: one person's revised keys stand side by side in theirs, however many
        # people's fresh keys stand in the other.
        fresh_due = await _due(connection, _FRESH, rules, now_s)
        revised_due = await _due(connection, _REVISED, rules, now_s)
        fresh = await waiting(connection, fresh_due, _FRESH.since)
        revised = await waiting(connection, revised_due, _REVISED.since)
        plans = files(fresh.keys, revised.keys, rules)
        if not plans:
            return []
        start_s, end_s = await _span(connection, now_s)
        claimed = []
        for place, plan in enumerate(plans, 1):
            # All revised keys stand in the first file.
            with_revised = revised.keys if place == 1 else 0
            row = {"start_s": start_s, "end_s": end_s, "place": place, "places": len(plans)}
            batch = await _new_batch(connection, {**row, "keys": plan.keys + plan.padding + with_revised})
            if plan.keys:
                await _claim_fresh(connection, batch, plan, fresh_due)
            if with_revised:
                await _claim_revised(connection, batch, revised_due)
            claimed.append(batch)
        return claimed


async def unfinished(database: Database, now_s: int, embargo_s: int) -> list[Batch]:
    """Return the batches whose file may not be on disk, oldest first.

    Not those with a key that is still under embargo: the clock was set back since they were claimed.
    """
    end_s = (keys.c.rolling_start + keys.c.rolling_period) * INTERVAL_S
    too_early = exists().where(keys.c.batch_number == batches.c.number, end_s + embargo_s > now_s)
    return await _batches(database, batches.c.sha256.is_(None) & ~too_early)


async def finished(database: Database) -> list[Batch]:
    """Return the batches whose file is on disk, oldest first."""
    return await _batches(database, batches.c.sha256.is_not(None))


async def all_batches(database: Database) -> list[Batch]:
    """Return every batch, oldest first."""
    return await _batches(database, true())


async def finish(database: Database, batch: Batch, *, sha256: bytes, size_bytes: int, export_key: str) -> None:
    """Note that a batch's file is durable, and which key signed it: only now may the index list it."""
    async with database.writing() as connection:
        await connection.execute(
            update(batches)
            .where(batches.c.number == batch.number)
            .values(sha256=sha256, bytes=size_bytes, export_key=export_key)
        )


class PackedKeys:
    """The keys of a batch in key order, 24 bytes each: half a million fit into 12 MB and cross into a thread."""

    _RECORD: Final = struct.Struct(">16sIBBBb")
    _NONE: Final = -128

    def __init__(self) -> None:
        self._data = bytearray()

    def append(self, row: Any) -> None:
        """Add one row: key, rolling start and period, report type, transmission risk, onset days."""
        key, start, period, report_type, risk, onset = row
        self._data += self._RECORD.pack(key, start, period, report_type, risk, self._NONE if onset is None else onset)

    def __iter__(self) -> Iterator[DiagnosisKey]:
        """Give each key as the export file has it."""
        for key, start, period, report_type, risk, onset in self._RECORD.iter_unpack(self._data):
            tek = TemporaryExposureKey(key, Interval(start), period)
            yield DiagnosisKey(tek, ReportType(report_type), None if onset == self._NONE else onset, risk)


async def keys_of(database: Database, batch: Batch) -> PackedKeys:
    """Read the fresh keys of a batch, sorted by key bytes."""
    return await _packed(database, batch, keys.c.batch_number, keys.c.report_type, keys.c.onset_days)


async def revised_keys_of(database: Database, batch: Batch) -> PackedKeys:
    """Read the revised keys of a batch as they are now, sorted by key bytes."""
    columns = (keys.c.revised_report_type, keys.c.revised_onset_days)
    return await _packed(database, batch, keys.c.revised_batch_number, *columns)


@dataclass(frozen=True, slots=True)
class _List:
    """One of the two lists of a file: what its keys say, and since when they wait."""

    report_type: ColumnElement[Any]
    since: ColumnElement[Any]


_FRESH: Final = _List(keys.c.report_type, keys.c.releasable_s)
_REVISED: Final = _List(keys.c.revised_report_type, keys.c.revised_since_s)


async def _due(connection: AsyncConnection, which: _List, rules: SealingRules, now_s: int) -> ColumnElement[bool]:
    """Select the keys of a list that are due: each report type waits for a mix of its own.

    The type stands beside each key, so a person alone of one is alone, however many others of other types are near.
    """
    free = which.since <= now_s
    types = (await connection.scalars(select(which.report_type).where(free).distinct())).all()
    of_type = {one: await waiting(connection, free & (which.report_type == one), which.since) for one in types}
    return free & which.report_type.in_([one for one, found in of_type.items() if due(found, rules, now_s)])


async def _span(connection: AsyncConnection, now_s: int) -> tuple[int, int]:
    # What the files' headers claim; it must not be empty where a second seal falls into one hour.
    end_s = hour_of(now_s)
    last_end_s = await connection.scalar(select(func.max(batches.c.end_s)))
    return (end_s - HOUR_S if last_end_s is None or last_end_s >= end_s else last_end_s), end_s


async def _new_batch(connection: AsyncConnection, row: dict[str, int]) -> Batch:
    result = await connection.execute(insert(batches).values(row).returning(*batches.c))
    return Batch(**result.mappings().one())


async def _claim_fresh(connection: AsyncConnection, batch: Batch, plan: FilePlan, fresh: ColumnElement[bool]) -> None:
    # The keys of one file are a range of the sorted keys: they are random, so the range says nothing.
    last = await connection.scalar(select(keys.c.key).where(fresh).order_by(keys.c.key).offset(plan.keys - 1).limit(1))
    await connection.execute(
        update(keys)
        .where(and_(fresh, keys.c.key <= last))
        .values(batch_number=batch.number, releasable_s=None, report_group=None)
    )
    if plan.padding:
        copied = [keys.c[name] for name in COPIED]
        real = (await connection.execute(select(*copied).where(keys.c.batch_number == batch.number))).all()
        rows = [{**row, "batch_number": batch.number} for row in padding_keys(real, plan.padding)]
        await connection.execute(insert(keys), rows)


async def _claim_revised(connection: AsyncConnection, batch: Batch, revised: ColumnElement[bool]) -> None:
    await connection.execute(
        update(keys).where(revised).values(revised_batch_number=batch.number, revised_since_s=None, report_group=None)
    )


async def _batches(database: Database, condition: ColumnElement[bool]) -> list[Batch]:
    # By time first: a file that was signed anew has a later number, and stays in its place.
    query = select(batches).where(condition).order_by(batches.c.end_s, batches.c.number)
    async with database.reading() as connection:
        return [Batch(**row) for row in (await connection.execute(query)).mappings()]


async def _packed(
    database: Database, batch: Batch, number: ColumnElement[Any], *told: ColumnElement[Any]
) -> PackedKeys:
    report_type, onset = told
    columns = (keys.c.key, keys.c.rolling_start, keys.c.rolling_period, report_type, keys.c.transmission_risk, onset)
    page: Select[Any] = select(*columns).where(number == batch.number).order_by(keys.c.key).limit(_PAGE_ROWS)
    packed = PackedKeys()
    async with database.reading() as connection:
        rows = (await connection.execute(page)).all()
        while rows:
            for row in rows:
                packed.append(row)
            rows = (await connection.execute(page.where(keys.c.key > rows[-1].key))).all()
    return packed
