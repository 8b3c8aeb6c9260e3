import base64
import re
import sqlite3
from pathlib import Path

from sqlalchemy import MetaData, select

from forewarn_server.audit import record
from forewarn_server.store.exposure_tables import exposure, tokens
from forewarn_server.store.registry_tables import registry
from tests.server.reporting_phone import published
from tests.server.running_server import RunningServer
from tests.server.sealed_upload import pass_on, sealed_case

ZONES_PAGE = Path(__file__).parents[2] / "docs" / "zones.md"
BRIDGE = "uuid"
UUID = "5dbb4b2c-3d44-4d16-9a52-1e2a6b1c8f01"


def references(tables: MetaData) -> set[str]:
    return {key.target_fullname.split(".")[0] for table in tables.tables.values() for key in table.foreign_keys}


def column_names(tables: MetaData) -> set[str]:
    return {column.name for table in tables.tables.values() for column in table.columns}


def values_in(path: Path) -> set[str | bytes]:
    """Every text and blob of a database: what could serve to join it with another."""
    found: set[str | bytes] = set()
    connection = sqlite3.connect(path)
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a name from the schema itself
            found |= {value for value in row if isinstance(value, str | bytes)}
    connection.close()
    return found


async def a_whole_case(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID, symptomDate="2021-05-29")
    token = (await server.post("/api/verify", {"code": issued["code"]})).json["token"]
    hmac = base64.b64encode(bytes(32)).decode()
    assert (await server.post("/api/certificate", {"token": token, "ekeyhmac": hmac})).status == 200
    await published(server)
    await server.staff("/api/batch-issue", {"codes": [{"testType": "likely"}] * 3})
    await server.staff("/api/checkcodestatus", {"uuid": UUID})
    _, _, sealed = await sealed_case(server)
    assert (await pass_on(server, sealed)).status == 200


def test_no_table_of_one_database_refers_to_the_other() -> None:
    assert references(exposure) <= set(exposure.tables)
    assert references(registry) <= set(registry.tables)
    assert not set(exposure.tables) & set(registry.tables)


def test_the_uuid_is_the_only_column_that_both_databases_have() -> None:
    assert column_names(exposure) & column_names(registry) == {BRIDGE}


async def test_after_a_whole_case_the_databases_share_no_value_but_uuids(server: RunningServer) -> None:
    await a_whole_case(server)
    data = server.context.settings.data
    revision = {"0001"}  # Alembic's own table has it in both
    shared = values_in(data / "exposure.db") & values_in(data / "registry.db") - revision
    assert len(shared) == 6
    assert UUID in shared
    assert all(
        isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) for value in shared
    )


async def test_the_search_for_shared_values_finds_a_planted_one(server: RunningServer) -> None:
    """Positive control: a token's hash that strayed into the audit is found."""
    await a_whole_case(server)
    data = server.context.settings.data
    async with server.context.exposure.reading() as connection:
        planted = (await connection.execute(select(tokens.c.jti))).scalars().first()
        assert planted
    async with server.context.registry.writing() as connection:
        await record(connection, 0, "x", "issue", planted)
    assert planted in values_in(data / "exposure.db") & values_in(data / "registry.db")


async def test_a_code_leads_to_no_token(server: RunningServer) -> None:
    await a_whole_case(server)
    connection = sqlite3.connect(server.context.settings.data / "exposure.db")
    (code,) = connection.execute("SELECT * FROM codes WHERE uuid = ?", (UUID,)).fetchall()
    (token,) = connection.execute("SELECT * FROM tokens WHERE symptom_date IS NOT NULL").fetchall()
    connection.close()
    shared = {value for value in set(code) & set(token) if isinstance(value, str | bytes)}
    assert shared == {"confirmed", "2021-05-29"}


def test_the_page_names_every_table_in_its_zone() -> None:
    rows = re.findall(r"^\| (anonymous|registry) \| `(\w+)` \|", ZONES_PAGE.read_text(), re.MULTILINE)
    assert {name for zone, name in rows if zone == "anonymous"} == set(exposure.tables)
    assert {name for zone, name in rows if zone == "registry"} == set(registry.tables)


async def test_nobody_else_may_read_databases_and_keys(server: RunningServer) -> None:
    await a_whole_case(server)
    data = server.context.settings.data
    private = [*data.glob("*.db*"), *(path for path in (data / "keys").rglob("*") if path.is_file())]
    assert len(private) >= 7
    assert not [path for path in private if path.stat().st_mode & 0o077]
