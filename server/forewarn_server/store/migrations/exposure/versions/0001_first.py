"""The first schema: codes, tokens, publishes, keys, batches, feeds."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "batches",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("start_s", sa.Integer(), nullable=False),
        sa.Column("end_s", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("keys", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("export_key", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "codes",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("short_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("long_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("short_expires_s", sa.Integer(), nullable=False),
        sa.Column("long_expires_s", sa.Integer(), nullable=False),
        sa.Column("test_type", sa.String(length=16), nullable=False),
        sa.Column("symptom_date", sa.String(length=10), nullable=True),
        sa.Column("test_date", sa.String(length=10), nullable=True),
        sa.Column("nonce_hash", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("uuid"),
        sa.UniqueConstraint("long_hash"),
        sa.UniqueConstraint("short_hash"),
    )
    op.create_index("codes_by_expiry", "codes", ["long_expires_s"], unique=False)
    op.create_index("codes_by_short_expiry", "codes", ["short_expires_s"], unique=False)
    op.create_table(
        "guesses",
        sa.Column("utc_day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tries_times_living", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("utc_day"),
    )
    op.create_table(
        "feeds",
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("issued_s", sa.Integer(), nullable=False),
        sa.Column("expires_s", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_table(
        "keys",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("rolling_start", sa.Integer(), nullable=False),
        sa.Column("rolling_period", sa.Integer(), nullable=False),
        sa.Column("report_type", sa.Integer(), nullable=False),
        sa.Column("transmission_risk", sa.Integer(), nullable=False),
        sa.Column("onset_days", sa.Integer(), nullable=True),
        sa.Column("revision_tag", sa.LargeBinary(length=32), nullable=False),
        sa.Column("report_group", sa.LargeBinary(length=16), nullable=True),
        sa.Column("releasable_s", sa.Integer(), nullable=True),
        sa.Column("batch_number", sa.Integer(), nullable=True),
        sa.Column("revised_report_type", sa.Integer(), nullable=True),
        sa.Column("revised_onset_days", sa.Integer(), nullable=True),
        sa.Column("revised_since_s", sa.Integer(), nullable=True),
        sa.Column("revised_batch_number", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("keys_by_batch", "keys", ["batch_number", "key"], unique=False)
    op.create_index("keys_by_release", "keys", ["releasable_s"], unique=False)
    op.create_index("keys_by_revised_batch", "keys", ["revised_batch_number", "key"], unique=False)
    op.create_index("keys_by_revision", "keys", ["revised_since_s"], unique=False)
    op.create_table(
        "publishes",
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("tekmac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("revision_key", sa.String(length=16), nullable=False),
        sa.Column("expires_s", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("jti"),
    )
    op.create_index("publishes_by_expiry", "publishes", ["expires_s"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("test_type", sa.String(length=16), nullable=False),
        sa.Column("symptom_date", sa.String(length=10), nullable=True),
        sa.Column("test_date", sa.String(length=10), nullable=True),
        sa.Column("jti", sa.String(length=36), nullable=False),
        sa.Column("token_key", sa.String(length=16), nullable=False),
        sa.Column("ekeyhmac", sa.LargeBinary(length=32), nullable=True),
        sa.Column("expires_s", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
        sa.UniqueConstraint("jti"),
    )
    op.create_index("tokens_by_expiry", "tokens", ["expires_s"], unique=False)
