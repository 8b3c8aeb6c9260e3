"""The registry's tables: the authority's API keys and the acts of its staff. No citizen's data, no exposure key.

Times are Unix seconds. `issued.uuid` names a code of the anonymous zone: the only bridge (docs/zones.md).
"""

from typing import Final

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

registry: Final = MetaData()

api_keys: Final = Table(
    "api_keys",
    registry,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("key_hash", LargeBinary(32), nullable=False, unique=True),
    Column("created_s", Integer, nullable=False),
    sqlite_autoincrement=True,  # the audit names ids: none may come back with another meaning
)

issued: Final = Table(
    "issued",
    registry,
    Column("uuid", String(36), primary_key=True),
    # Empty: issued at the server's own command line.
    Column("api_key_id", Integer, ForeignKey("api_keys.id")),
    Column("day", Integer, nullable=False),
    Index("issued_by_key_and_day", "api_key_id", "day"),
)

audit: Final = Table(
    "audit",
    registry,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_s", Integer, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("act", String(32), nullable=False),
    Column("detail", String(100), nullable=False),
    Index("audit_by_time", "at_s"),
    sqlite_autoincrement=True,
)

erasures: Final = Table(
    "erasures",
    registry,
    # The UTC day of the runs, counted from 1970-01-01.
    Column("day", Integer, primary_key=True, autoincrement=False),
    # How many rows of each table, and how many files. Nothing of what was in them.
    Column("deleted", JSON, nullable=False),
    # The day on which what was deleted was overwritten on disk; NULL: overdue.
    Column("overwritten_day", Integer),
)
