"""How likely it is that somebody guesses a short code today; above what is allowed, new codes are long ones only.

Each wrong try could have hit any short code that lived at that moment: tries times living codes, over 10^8, is how many
are expected to succeed. One number a UTC day is kept of it, neither when somebody tried nor who.
"""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.verification import SHORT_CODE_DIGITS
from forewarn_server.hours import DAY_S
from forewarn_server.store.engine import Database
from forewarn_server.store.exposure_tables import codes, guesses

ALLOWED_A_DAY: Final = 0.01
_SHORT_CODES: Final = 10**SHORT_CODE_DIGITS
_ALLOWED: Final = int(ALLOWED_A_DAY * _SHORT_CODES)
# Written down in steps of a hundredth: a flood of guesses must not become a flood of writes, and a person's slip of the
# finger shows in no metric. A crash forgets one step at most.
_STEP: Final = _ALLOWED // 100


class Guesses:
    """Counts in one process and adds up in the database, so that all processes and the commands know."""

    def __init__(self) -> None:
        self._day = -1
        self._unwritten = 0
        self._written = 0

    def expected(self, now_s: int) -> float:
        """Return how many guesses are expected to succeed today, of those that were written down."""
        return self._written / _SHORT_CODES if self._day == now_s // DAY_S else 0.0

    async def note_wrong_try(self, database: Database, now_s: int) -> None:
        """Count a short code that was none, or not this person's."""
        self._begin(now_s // DAY_S)
        lives = codes.c.short_hash.is_not(None) & codes.c.nonce_hash.is_(None) & (codes.c.short_expires_s > now_s)
        async with database.reading() as connection:
            self._unwritten += await connection.scalar(select(func.count()).where(lives)) or 0
        if self._unwritten >= _STEP:
            await self._write(database, now_s)

    async def are_too_many(self, connection: AsyncConnection, now_s: int) -> bool:
        """Tell whether new codes must be long."""
        self._begin(now_s // DAY_S)
        today = select(guesses.c.tries_times_living).where(guesses.c.utc_day == self._day)
        self._written = await connection.scalar(today) or 0
        # What processes have not written yet is less than a step each.
        return self._written >= _ALLOWED - _STEP

    async def _write(self, database: Database, now_s: int) -> None:
        async with database.writing() as connection:
            amount, self._unwritten = self._unwritten, 0
            row = {"utc_day": now_s // DAY_S, "tries_times_living": amount}
            total = {"tries_times_living": guesses.c.tries_times_living + amount}
            await connection.execute(
                insert(guesses).values(row).on_conflict_do_update(index_elements=["utc_day"], set_=total)
            )
            await self.are_too_many(connection, now_s)

    def _begin(self, day: int) -> None:
        if day != self._day:
            self._day, self._unwritten, self._written = day, 0, 0
