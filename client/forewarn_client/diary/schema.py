"""The tables of the diary's database, and which of them are forgotten by the day."""

from typing import Final

SCHEMA_VERSION: Final = 1

DAILY_TABLES: Final = ("scan_windows", "own_keys", "matches", "anomalies", "alerts", "withdrawals", "reports")
"""Each has a column `day`; their rows are sealed with that day's key and deleted after it."""

STATEMENTS: Final = (
    # A day counts from 1970-01-01. The key is wrapped by the device key; without this row the day is unreadable.
    "CREATE TABLE day_keys (day INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT",
    # One row per scan window that heard anybody (block.py says what is sealed in it).
    "CREATE TABLE scan_windows (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    "CREATE INDEX scan_windows_by_day ON scan_windows (day)",
    # One row per Temporary Exposure Key of this device (keyring.py says what is sealed in it).
    "CREATE TABLE own_keys (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    "CREATE INDEX own_keys_by_day ON own_keys (day)",
    # The record of forgetting (erasures.py): days and how many of them, nothing of what was forgotten.
    (
        "CREATE TABLE erasures "
        "(day INTEGER PRIMARY KEY, first_kept INTEGER NOT NULL, days INTEGER NOT NULL, overwritten INTEGER) STRICT"
    ),
    # What the jobs last did, as JSON: nothing about anybody else.
    "CREATE TABLE status (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    # The newest version of each signed feed: its sequence, its issue (Unix seconds), and the pinned key that its trust
    # began with. A lower sequence is refused, and this device's clock must not stand before the issue. Public data.
    (
        "CREATE TABLE feeds (path TEXT PRIMARY KEY, sequence INT NOT NULL, issued INT NOT NULL, root TEXT NOT NULL,"
        " body BLOB NOT NULL) STRICT"
    ),
    # Feed keys that a pinned one vouched for, and, without the key itself, those that were revoked (feed_keys.py).
    "CREATE TABLE feed_keys (key_hash TEXT PRIMARY KEY, public_key TEXT, root TEXT NOT NULL) STRICT",
    # The ledger: export files that are done, by SHA-256. A row is written together with the file's matches.
    "CREATE TABLE finished_files (sha256 TEXT PRIMARY KEY) STRICT",
    # A published key and what was heard of it on that day (matches.py says what is sealed).
    "CREATE TABLE matches (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    "CREATE INDEX matches_by_day ON matches (day)",
    # What was strange about sightings of published keys, by the day of the matching (anomalies.py).
    "CREATE TABLE anomalies (id INTEGER PRIMARY KEY, day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    "CREATE INDEX anomalies_by_day ON anomalies (day)",
    # One alert per day of exposure; a row means that it has been told (alerts.py).
    "CREATE TABLE alerts (day INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
    # Days whose alert was taken back; a row means that it has been told (withdrawals.py).
    "CREATE TABLE withdrawals (day INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
    # The last report, under the day on which it began: how far it came (report_state.py).
    "CREATE TABLE reports (id INTEGER PRIMARY KEY CHECK (id = 1), day INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
)
