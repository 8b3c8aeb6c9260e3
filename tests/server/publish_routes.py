"""What the tests of publishing share: rows as stored, refusals as told, certificates made by hand."""

import base64
from typing import Any

from sqlalchemy import func, select

from forewarn_protocol.publishing import PUBLISH_ERRORS
from forewarn_protocol.verification import TestType
from forewarn_server import certificates
from forewarn_server.store.exposure_tables import keys as keys_table
from tests.server.hand_clock import NOON
from tests.server.reporting_phone import HMAC_KEY, b64, tekmac_of
from tests.server.running_server import Reply, RunningServer

Keys = list[dict[str, Any]]
NOW = NOON // 600
INVALID_CERTIFICATE = "health_authority_verification_certificate_invalid"


async def stored(server: RunningServer) -> dict[bytes, Any]:
    async with server.context.exposure.reading() as connection:
        return {row.key: row for row in (await connection.execute(select(keys_table))).all()}


async def count(server: RunningServer, table: Any) -> int:
    async with server.context.exposure.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


def assert_refused(reply: Reply, code: str) -> None:
    assert reply.json["code"] == code, reply.json
    assert reply.json["error"]
    assert reply.status == PUBLISH_ERRORS[code]
    assert "verificationPayload" not in reply.json


def certified(server: RunningServer, keys: Keys, jti: str) -> dict[str, Any]:
    """Return a request with a certificate of the authority, as if its routes had given it."""
    certificate = certificates.mint(
        server.context.settings,
        server.context.keys.certificate.active,
        now_s=server.context.now_s(),
        jti=jti,
        test_type=TestType.CONFIRMED,
        symptom_date=None,
        tekmac=base64.b64decode(tekmac_of(keys)),
    )
    return {
        "temporaryExposureKeys": keys,
        "healthAuthorityID": "vn",
        "verificationPayload": certificate,
        "hmacKey": b64(HMAC_KEY),
    }
