"""The anonymous zone's tables: code hashes, token hashes, publishes, keys, batches. No person, no account, no address.

Times are Unix seconds. `codes.uuid` is the one value that the registry knows too (`registry_tables.issued`): it leads
to the state of a code, and from there nowhere, because neither a token nor a key refers to a code.
"""

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table

exposure: Final = MetaData()

codes: Final = Table(
    "codes",
    exposure,
    Column("uuid", String(36), primary_key=True),
    # Keyed hashes: who steals the database alone cannot try all 10^8 short codes against it.
    # Empty where the code has no short form.
    Column("short_hash", LargeBinary(32), unique=True),
    Column("long_hash", LargeBinary(32), nullable=False, unique=True),
    Column("short_expires_s", Integer, nullable=False),
    Column("long_expires_s", Integer, nullable=False),
    Column("test_type", String(16), nullable=False),
    Column("symptom_date", String(10)),
    Column("test_date", String(10)),
    # Hash of the nonce that claimed it, so that a lost answer can be asked for again; NULL: not claimed yet.
    Column("nonce_hash", LargeBinary(32)),
    Index("codes_by_expiry", "long_expires_s"),
    Index("codes_by_short_expiry", "short_expires_s"),
)

guesses: Final = Table(
    "guesses",
    exposure,
    Column("utc_day", Integer, primary_key=True, autoincrement=False),
    # Wrong tries of that day, each times the short codes that lived at its moment. Not when, and not who.
    Column("tries_times_living", Integer, nullable=False),
)

tokens: Final = Table(
    "tokens",
    exposure,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("test_type", String(16), nullable=False),
    Column("symptom_date", String(10)),
    Column("test_date", String(10)),
    Column("jti", String(36), nullable=False, unique=True),
    # Which token key it was derived with: one that is revoked takes its tokens with it.
    Column("token_key", String(16), nullable=False),
    # The keys' HMAC that the first certificate was bound to.
    Column("ekeyhmac", LargeBinary(32)),
    Column("expires_s", Integer, nullable=False),
    Index("tokens_by_expiry", "expires_s"),
)

publishes: Final = Table(
    "publishes",
    exposure,
    Column("jti", String(64), primary_key=True),
    Column("tekmac", LargeBinary(32), nullable=False),
    Column("body_hash", LargeBinary(32), nullable=False),
    # Which revision key its token was derived with, so that a repeated request gets the same one.
    Column("revision_key", String(16), nullable=False),
    # A full hour: it must not tell when in the hour somebody reported.
    Column("expires_s", Integer, nullable=False),
    Index("publishes_by_expiry", "expires_s"),
)

keys: Final = Table(
    "keys",
    exposure,
    Column("key", LargeBinary(16), primary_key=True),
    Column("rolling_start", Integer, nullable=False),
    Column("rolling_period", Integer, nullable=False),
    Column("report_type", Integer, nullable=False),
    Column("transmission_risk", Integer, nullable=False),
    # A representative of none, standard, high; NULL: not published.
    Column("onset_days", Integer),
    # HMAC of this key under its revision token: the token finds its keys, and the table alone links no two of them.
    Column("revision_tag", LargeBinary(32), nullable=False),
    # Random per publish, to count those that mix; since when it may be released. Both emptied when the key is sealed:
    # what is left of a real key is what a padding key has too.
    Column("report_group", LargeBinary(16)),
    Column("releasable_s", Integer),
    Column("batch_number", Integer),
    Column("revised_report_type", Integer),
    Column("revised_onset_days", Integer),
    Column("revised_since_s", Integer),
    Column("revised_batch_number", Integer),
    Index("keys_by_batch", "batch_number", "key"),
    Index("keys_by_release", "releasable_s"),
    Index("keys_by_revised_batch", "revised_batch_number", "key"),
    Index("keys_by_revision", "revised_since_s"),
    sqlite_with_rowid=False,  # a row number would tell the order of arrival
)

batches: Final = Table(
    "batches",
    exposure,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("start_s", Integer, nullable=False),
    Column("end_s", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("places", Integer, nullable=False),
    Column("keys", Integer, nullable=False),
    # Empty until the file is on disk; a batch without them is claimed and not in the index.
    Column("sha256", LargeBinary(32)),
    Column("bytes", Integer),
    # Which export key signed the file: when that is revoked, another must.
    Column("export_key", String(16)),
    sqlite_autoincrement=True,  # a number is never given twice, also after the last batch was forgotten
)

feeds: Final = Table(
    "feeds",
    exposure,
    Column("path", String(200), primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("issued_s", Integer, nullable=False),
    Column("expires_s", Integer, nullable=False),
)
