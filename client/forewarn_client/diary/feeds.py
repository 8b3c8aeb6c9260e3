"""The newest version of each signed feed, as the diary keeps it: public data, whose sequence must only rise."""

import sqlite3


def keep(connection: sqlite3.Connection, path: str, *, sequence: int, issued: int, root: str, body: bytes) -> None:
    """Keep a feed whose signature was verified, in place of an older one, inside a transaction that is open."""
    connection.execute(
        "INSERT OR REPLACE INTO feeds (path, sequence, issued, root, body) VALUES (?, ?, ?, ?, ?)",
        (path, sequence, issued, root, body),
    )


def body(connection: sqlite3.Connection, path: str) -> bytes | None:
    """Return what stands in the newest version; None before the first."""
    row = connection.execute("SELECT body FROM feeds WHERE path = ?", (path,)).fetchone()
    return None if row is None else row[0]
