import pytest
from sqlalchemy import select

from forewarn_server.accounts.api_keys import MAY, Act, Role, add
from forewarn_server.store.exposure_tables import codes
from forewarn_server.store.registry_tables import api_keys, audit
from tests.server.running_server import RunningServer

UUID = "5dbb4b2c-3d44-4d16-9a52-1e2a6b1c8f01"
STAFF_CALLS = {
    "/api/issue": ({"testType": "confirmed"}, Act.ISSUE),
    "/api/batch-issue": ({"codes": [{"testType": "confirmed"}]}, Act.ISSUE),
    "/api/checkcodestatus": ({"uuid": UUID}, Act.LOOK_UP),
    "/api/expirecode": ({"uuid": UUID}, Act.EXPIRE),
}


@pytest.mark.parametrize("path", STAFF_CALLS)
async def test_without_a_known_key_staff_routes_are_closed(server: RunningServer, path: str) -> None:
    message, _ = STAFF_CALLS[path]
    for headers in ({}, {"x_api_key": ""}, {"x_api_key": "unknown"}, {"x_api_key": server.issuer_key[:-1]}):
        reply = await server.post(path, message, **headers)
        assert (reply.status, reply.json["errorCode"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", STAFF_CALLS)
@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_what_its_row_says(server: RunningServer, path: str, role: Role) -> None:
    await server.new_code(uuid=UUID)
    _, key = await add(server.context, "x", role)
    message, act = STAFF_CALLS[path]
    reply = await server.post(path, message, x_api_key=key)
    assert reply.status == (200 if act in MAY[role] else 401)


async def test_an_admin_cannot_issue(server: RunningServer) -> None:
    _, key = await add(server.context, "x", Role.ADMIN)
    reply = await server.post("/api/issue", {"testType": "confirmed"}, x_api_key=key)
    assert (reply.status, reply.json["errorCode"]) == (401, "unauthorized")
    async with server.context.exposure.reading() as connection:
        assert (await connection.execute(select(codes))).all() == []


async def test_phones_need_no_key(server: RunningServer) -> None:
    assert (await server.post("/api/verify", {"code": "00000000"})).json["errorCode"] == "code_invalid"
    assert (await server.post("/api/certificate", {"token": "x"})).json["errorCode"] == "bad_request"


async def test_a_key_is_stored_as_a_hash(server: RunningServer) -> None:
    async with server.context.registry.reading() as connection:
        (row,) = (await connection.execute(select(api_keys))).all()
    assert server.issuer_key not in str(row)
    assert row.role == "issuer"


async def test_acts_of_staff_are_in_the_audit_and_acts_of_citizens_are_not(server: RunningServer) -> None:
    issued = await server.new_code(uuid=UUID)
    await server.staff("/api/batch-issue", {"codes": [{"testType": "confirmed"}] * 3})
    await server.staff("/api/checkcodestatus", {"uuid": UUID})
    await server.post("/api/verify", {"code": issued["code"]})
    await server.staff("/api/expirecode", {"uuid": UUID})  # refused: claimed
    other = await server.new_code()
    await server.staff("/api/expirecode", {"uuid": other["uuid"]})
    async with server.context.registry.reading() as connection:
        rows = (await connection.execute(select(audit).order_by(audit.c.id))).all()
    assert [(row.actor, row.act, row.detail) for row in rows] == [
        ("command line", "add api key", "issuer, id 1"),
        ("api key 1", "issue", "1 codes"),
        ("api key 1", "issue", "3 codes"),
        ("api key 1", "issue", "1 codes"),
        ("api key 1", "expire", "1 codes"),
    ]


async def test_a_refused_issue_leaves_no_line_in_the_audit(server: RunningServer) -> None:
    await server.new_code(uuid=UUID)
    await server.staff("/api/issue", {"testType": "confirmed", "uuid": UUID})
    async with server.context.registry.reading() as connection:
        rows = (await connection.execute(select(audit).where(audit.c.act == "issue"))).all()
    assert len(rows) == 1
