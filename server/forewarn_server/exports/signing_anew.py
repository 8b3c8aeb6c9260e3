"""Takes the files that a revoked key signed out of the index, and lets the next seal write and sign them again.

A file is made of rows that stay as long as it does, so nothing is lost but its number: a name never has two contents,
for whoever keeps copies keeps them by name.
"""

from collections.abc import Collection

from sqlalchemy import delete, insert, or_, select, update

from forewarn_server.store.engine import Database
from forewarn_server.store.exposure_tables import batches, keys


async def renumber(database: Database, accepted: Collection[str], spoilt: Collection[int]) -> int:
    """Give each batch whose file no accepted key signed, or is spoilt, a new number and no file; return how many.

    A new number is a new name: caches keep a file for a day.
    """
    async with database.writing() as connection:
        signed = batches.c.export_key.is_not(None) & batches.c.export_key.not_in(accepted)
        anew = or_(signed, batches.c.number.in_(spoilt))
        found = (await connection.execute(select(batches).where(anew).order_by(batches.c.number))).mappings().all()
        for batch in found:
            row = {**batch, "sha256": None, "bytes": None, "export_key": None}
            number = row.pop("number")
            again = insert(batches).values(row).returning(batches.c.number)
            new_number = (await connection.execute(again)).scalar_one()
            for column in (keys.c.batch_number, keys.c.revised_batch_number):
                await connection.execute(update(keys).where(column == number).values({column: new_number}))
            await connection.execute(delete(batches).where(batches.c.number == number))
        return len(found)
