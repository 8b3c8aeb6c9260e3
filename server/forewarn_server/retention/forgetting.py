"""Forgets what is due, in the table below, and overwrites it; behind the index's back nothing is deleted.

Order for export files: rows go, then the index that no longer names them is signed, then the files go. A crash in
between leaves files that the next run removes, after it has signed the index in its turn.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import Missing
from forewarn_protocol.intervals import INTERVAL_S
from forewarn_protocol.publishing import MAX_AGE_INTERVALS
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context
from forewarn_server.exports import batches as batch_store
from forewarn_server.exports.sealing import exports_folder, publish_index
from forewarn_server.hours import DAY_S
from forewarn_server.public.turn import publishing_turn
from forewarn_server.retention import erasures
from forewarn_server.store.exposure_tables import batches, codes, guesses, keys, publishes, tokens
from forewarn_server.store.registry_tables import audit, issued
from forewarn_server.store.registry_tables import erasures as recorded
from forewarn_shell.files import clear_left_overs, sync_folder
from forewarn_shell.reserve import Reserve

CODE_AFTERLIFE_S: Final = 3 * DAY_S
"""How long an expired code stays, so that the authority can still ask whether it was used."""
RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 4 * 2**20
"""In the data folder: a day's keys can be deleted on a full disk, too."""
ISSUED_DAYS: Final = 30
"""How long the registry knows which API key issued a code."""
ERASURE_DAYS: Final = 365
"""How long the record of forgetting itself is kept."""


class Due(NamedTuple):
    """One rule of forgetting: rows of a table, and why they go."""

    table: Table
    rows: ColumnElement[bool]
    reason: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one run deleted, in rows per table and files; `overwritten` is False while a reader is in the way."""

    rows: dict[str, int]
    files: int
    overwritten: bool


def exposure_rules(settings: ServerSettings, now_s: int) -> tuple[Due, ...]:
    """Return what is due in the anonymous zone."""
    sealed_until_s = now_s - settings.key_retention_days * DAY_S
    standing = select(batches.c.number).where(batches.c.end_s > sealed_until_s)
    # A key of a batch goes with the last file that names it: were it forgotten before its revision is, a key that was
    # taken back could be published once more. One that was never sealed, or was withheld, goes two days after it is
    # older than what a publish accepts: no device could match it, and whatever it waited for is long over.
    gone = and_(
        keys.c.batch_number.is_not(None) & keys.c.batch_number.not_in(standing),
        or_(keys.c.revised_batch_number.is_(None), keys.c.revised_batch_number.not_in(standing)),
        keys.c.revised_since_s.is_(None),
    )
    too_old_s = now_s - MAX_AGE_INTERVALS * INTERVAL_S - 2 * DAY_S
    too_old = (keys.c.rolling_start + keys.c.rolling_period) * INTERVAL_S <= too_old_s
    return (
        Due(
            keys,
            or_(gone, keys.c.batch_number.is_(None) & too_old),
            "keys stay 14 days after they were published, or published anew",
        ),
        Due(batches, batches.c.end_s <= sealed_until_s, "export files stay 14 days"),
        Due(codes, codes.c.long_expires_s + CODE_AFTERLIFE_S <= now_s, "codes stay 3 days after they expired"),
        Due(tokens, tokens.c.expires_s <= now_s, "tokens stay until they expire"),
        Due(guesses, guesses.c.utc_day < now_s // DAY_S, "how much was guessed is known for the day"),
        Due(publishes, publishes.c.expires_s <= now_s, "a publish is remembered while its token can live"),
    )


def registry_rules(settings: ServerSettings, now_s: int) -> tuple[Due, ...]:
    """Return what is due in the registry."""
    return (
        Due(issued, issued.c.day <= now_s // DAY_S - ISSUED_DAYS, "who issued a code is known for 30 days"),
        Due(audit, audit.c.at_s <= now_s - settings.audit_retention_days * DAY_S, "the audit stays a year"),
        Due(recorded, recorded.c.day <= now_s // DAY_S - ERASURE_DAYS, "the record of erasures stays a year"),
    )


async def is_due(context: Context) -> bool:
    """Tell whether a run would delete any row."""
    settings, now_s = context.settings, context.reached_s()
    for database, rules in (
        (context.exposure, exposure_rules(settings, now_s)),
        (context.registry, registry_rules(settings, now_s)),
    ):
        async with database.reading() as connection:
            for rule in rules:
                if await connection.scalar(select(exists().select_from(rule.table).where(rule.rows))):
                    return True
    return False


async def forget(context: Context, *, is_confirmed: bool = False) -> Forgotten:
    """Delete what is due everywhere, record that, then overwrite it on disk.

    A clock that ran ahead of all that is on record decides only where an operator confirms it.
    """
    settings, now_s = context.settings, context.now_s()
    if not is_confirmed:
        now_s = min(now_s, context.reached_s())
    async with publishing_turn(settings.data):
        # Whoever writes public files holds the turn: half a file, keys and all, is of somebody who was killed.
        await asyncio.to_thread(clear_left_overs, settings.public)
        reserve = Reserve(settings.data / RESERVE_FILE, RESERVE_BYTES)
        try:
            rows = await _delete_exposure_rows(context, now_s)
        except Missing:
            # The disk may be full: then what is to be destroyed gives way to nothing else.
            reserve.release()
            rows = await _delete_exposure_rows(context, now_s)
        async with context.registry.writing() as connection:
            rows |= await _delete_rows(connection, registry_rules(settings, now_s))
        folder = exports_folder(settings)
        named = {batch.name for batch in await batch_store.all_batches(context.exposure)}
        unnamed = await asyncio.to_thread(_unnamed, folder, named)
        # Files without rows tell that an earlier run may have stopped before it signed.
        if rows[batches.name] or unnamed:
            await publish_index(context)
        await asyncio.to_thread(_delete_files, folder, unnamed)
        async with context.registry.writing() as connection:
            await erasures.record(connection, now_s // DAY_S, {**rows, "files": len(unnamed)})
    overwritten = [await database.overwrite_deleted() for database in (context.exposure, context.registry)]
    reserve.hold()
    if all(overwritten):
        async with context.registry.writing() as connection:
            await erasures.record_overwritten(connection, context.now_s() // DAY_S)
    return Forgotten(rows, len(unnamed), all(overwritten))


async def _delete_exposure_rows(context: Context, now_s: int) -> dict[str, int]:
    async with context.exposure.writing() as connection:
        return await _delete_rows(connection, exposure_rules(context.settings, now_s))


async def _delete_rows(connection: AsyncConnection, rules: tuple[Due, ...]) -> dict[str, int]:
    return {rule.table.name: (await connection.execute(delete(rule.table).where(rule.rows))).rowcount for rule in rules}


def _unnamed(folder: Path, named: set[str]) -> list[Path]:
    return [path for path in folder.glob("*.zip") if path.name not in named]


def _delete_files(folder: Path, paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    if paths:
        sync_folder(folder)
