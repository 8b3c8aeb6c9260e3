"""A third-party client that reports: it knows PROTOCOL.md and nothing of our classes."""

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.server.running_server import Reply, RunningServer

HMAC_KEY = bytes(range(32))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def day_key(start: int, period: int = 144, risk: int | None = None, key: bytes | None = None) -> dict[str, Any]:
    fields = {
        "key": b64(key or secrets.token_bytes(16)),
        "rollingStartNumber": start,
        "rollingPeriod": period,
    }
    return fields if risk is None else {**fields, "transmissionRisk": risk}


def tekmac_of(keys: list[dict[str, Any]], *, with_risk: bool = True) -> str:
    texts = []
    for key in sorted(keys, key=lambda each: each["key"]):
        parts = [key["key"], str(key["rollingStartNumber"]), str(key["rollingPeriod"])]
        texts.append(".".join([*parts, str(key.get("transmissionRisk", 0))] if with_risk else parts))
    return b64(hmac.digest(HMAC_KEY, ",".join(texts).encode(), "sha256"))


@dataclass
class Phone:
    """One person's phone; it keeps its token, so that it can ask for the same certificate again."""

    server: RunningServer
    token: str = field(default="", repr=False)

    @property
    def now(self) -> int:
        return int(self.server.clock.now_s // 600)

    @property
    def today(self) -> int:
        return self.now - self.now % 144

    def past_keys(self, days: int = 3, **fields: Any) -> list[dict[str, Any]]:
        return [day_key(self.today - 144 * back, **fields) for back in range(days, 0, -1)]

    async def certificate(self, tekmac: str, **issue: object) -> str:
        if not self.token:
            code = (await self.server.new_code(**issue))["code"]
            accept = ["confirmed", "likely", "negative", "user-report"]
            verified = await self.server.post("/api/verify", {"code": code, "accept": accept})
            assert verified.status == 200, verified.json
            self.token = verified.json["token"]
        reply = await self.server.post("/api/certificate", {"token": self.token, "ekeyhmac": tekmac})
        assert reply.status == 200, reply.json
        return str(reply.json["certificate"])

    async def request(
        self,
        keys: list[dict[str, Any]],
        *,
        with_risk: bool = True,
        issue: dict[str, object] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        return {
            "temporaryExposureKeys": keys,
            "healthAuthorityID": "vn",
            "verificationPayload": await self.certificate(tekmac_of(keys, with_risk=with_risk), **(issue or {})),
            "hmacKey": b64(HMAC_KEY),
            "padding": b64(secrets.token_bytes(1024)),
            **fields,
        }

    async def publish(self, keys: list[dict[str, Any]], **fields: Any) -> Reply:
        return await self.server.post("/v1/publish", await self.request(keys, **fields))


async def published(server: RunningServer, keys: list[dict[str, Any]] | None = None, **fields: Any) -> Any:
    """Let a new person publish keys, and return the answer."""
    phone = Phone(server)
    reply = await phone.publish(phone.past_keys() if keys is None else keys, **fields)
    assert reply.status == 200, reply.json
    assert "code" not in reply.json, json.dumps(reply.json)
    return reply.json
