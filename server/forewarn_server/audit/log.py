"""Writes a line of the audit in the transaction of the act itself: no act without its line."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_server.store.registry_tables import audit


async def record(connection: AsyncConnection, at_s: int, actor: str, act: str, detail: str) -> None:
    """Add one act; `connection` is the registry's, in the transaction that does it."""
    await connection.execute(insert(audit).values(at_s=at_s, actor=actor, act=act, detail=detail))
