"""The tables of the diary's database, and which of them are forgotten by the day."""

from typing import Final

SCHEMA_VERSION: Final = 1

DAILY_TABLES: Final = ("scan_windows", "own_keys")
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
    # What the jobs last did, as JSON: nothing about anybody else.
    "CREATE TABLE status (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
)
