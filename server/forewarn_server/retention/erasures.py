"""The record of forgetting, for a year: per UTC day how much was deleted, and when it was overwritten on disk.

It shows an auditor that forgetting happens. It holds counts and days, no time of day and nothing of what was deleted:
a file's keys are counted with their padding, and how many codes are issued a day stands in the audit anyway.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.intervals import INTERVALS_PER_DAY, day_of
from forewarn_server.context import Context
from forewarn_server.store.registry_tables import erasures


@dataclass(frozen=True, slots=True)
class Erasure:
    """What the runs of one UTC day deleted, in rows by table and files; days count from 1970-01-01."""

    day: int
    deleted: Mapping[str, int]
    overwritten_day: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the record for a program; days are ISO 8601, null: not overwritten yet."""
        overwritten = None if self.overwritten_day is None else _iso(self.overwritten_day)
        return {"day": _iso(self.day), "deleted": dict(self.deleted), "overwritten": overwritten}


async def record(connection: AsyncConnection, day: int, deleted: Mapping[str, int]) -> None:
    """Add to the day's record what a run deleted; `connection` is the registry's, in a transaction that writes."""
    found = await connection.scalar(select(erasures.c.deleted).where(erasures.c.day == day))
    total = dict(Counter(found or {}) + Counter(deleted))  # what is 0 is left out
    row = {"deleted": total, "overwritten_day": None}
    if found is None:
        await connection.execute(insert(erasures).values(day=day, **row))
    else:
        await connection.execute(update(erasures).where(erasures.c.day == day).values(row))


async def record_overwritten(connection: AsyncConnection, day: int) -> None:
    """Note that whatever was deleted so far is on disk no more."""
    pending = erasures.c.overwritten_day.is_(None)
    await connection.execute(update(erasures).where(pending).values(overwritten_day=day))


async def recorded(context: Context) -> list[Erasure]:
    """Return the record, oldest day first."""
    async with context.registry.reading() as connection:
        rows = await connection.execute(select(erasures).order_by(erasures.c.day))
        return [Erasure(**row) for row in rows.mappings()]


def _iso(day: int) -> str:
    return day_of(day * INTERVALS_PER_DAY).isoformat()
