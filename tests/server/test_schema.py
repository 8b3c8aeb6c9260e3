import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table

from forewarn_protocol.errors import Missing
from forewarn_server.store.engine import open_blocking
from forewarn_server.store.exposure_tables import exposure
from forewarn_server.store.registry_tables import registry
from forewarn_server.store.schema import EXPOSURE, REGISTRY, SCHEMAS, Schema

TABLES = {EXPOSURE: exposure, REGISTRY: registry}


def differences(path: Path, tables: MetaData) -> list[object]:
    engine = open_blocking(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, tables)
    engine.dispose()
    return list(found)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_migrations_lead_to_the_tables_that_the_code_speaks_to(schema: Schema, tmp_path: Path) -> None:
    assert schema.migrate(tmp_path) is True
    assert differences(schema.path(tmp_path), TABLES[schema]) == []
    assert schema.migrate(tmp_path) is False
    schema.check(tmp_path)


def test_a_forgotten_migration_is_found(tmp_path: Path) -> None:
    """Positive control: a table that no migration makes shows as a difference."""
    EXPOSURE.migrate(tmp_path)
    more = MetaData()
    for table in exposure.tables.values():
        table.to_metadata(more)
    Table("forgotten", more, Column("id", Integer, primary_key=True))
    assert differences(EXPOSURE.path(tmp_path), more)


def set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.commit()
    connection.close()


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    REGISTRY.migrate(tmp_path)
    set_revision(REGISTRY.path(tmp_path), "9999")
    for act in (REGISTRY.check, REGISTRY.migrate):
        with pytest.raises(Missing, match="newer Forewarn"):
            act(tmp_path)
    assert differences(REGISTRY.path(tmp_path), registry) == []


def test_an_empty_database_is_refused_until_it_is_restored_or_made_anew(tmp_path: Path) -> None:
    """Not called an older one: to migrate it would delete every file that it no longer names."""
    sqlite3.connect(REGISTRY.path(tmp_path)).close()
    with pytest.raises(Missing, match="is empty: restore it from a backup"):
        REGISTRY.check(tmp_path)
    REGISTRY.migrate(tmp_path)
    REGISTRY.check(tmp_path)


def test_a_missing_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="forewarn-server init"):
        REGISTRY.check(tmp_path)


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4_080])
def test_a_damaged_database_is_one_line(tmp_path: Path, content: bytes) -> None:
    REGISTRY.path(tmp_path).write_bytes(content)
    for act in (REGISTRY.check, REGISTRY.migrate):
        with pytest.raises(Missing) as caught:
            act(tmp_path)
        assert "restore it" in caught.value.message
    assert REGISTRY.path(tmp_path).read_bytes() == content


def test_a_migration_that_fails_halfway_changes_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(EXPOSURE.path(tmp_path))
    connection.execute("CREATE TABLE tokens (x)")  # one of the last that the first migration makes
    connection.commit()
    connection.close()
    with pytest.raises(Missing):
        EXPOSURE.migrate(tmp_path)
    connection = sqlite3.connect(EXPOSURE.path(tmp_path))
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    connection.close()
    assert names == ["tokens"]
