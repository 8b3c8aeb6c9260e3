"""A person's phone against the server, by PROTOCOL.md alone: it keeps what was acknowledged and holds the server to it.

Each step may be sent again after a lost answer, with the same nonce, the same HMAC, the same body; what comes back must
be what PROTOCOL.md says for that case, and one of the things below is said when it is not.
"""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import ClientSession, ClientTimeout

from tests.server.publish_routes import INVALID_CERTIFICATE
from tests.server.reporting_phone import HMAC_KEY, b64, day_key, tekmac_of

STEPS = ("verify", "certificate", "publish")
PUBLISHED, ALREADY = "published", "already published"


class Violation(AssertionError):
    """The server, or the phone, has broken a promise; the sentence says which."""


def demand(kept: bool, broken: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise what was broken unless it was kept."""
    if not kept:
        raise Violation(broken)


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any

    @property
    def word(self) -> str:
        """What the server calls its refusal, in either API."""
        return str(self.json.get("code") or self.json.get("errorCode") or self.status)


@dataclass
class Api:
    """The server's routes; a request that gets no whole answer raises `ClientError` or `TimeoutError`."""

    url: str
    session: ClientSession
    issuer_key: str

    async def post(self, path: str, message: object, **headers: str) -> Reply:
        timeout = ClientTimeout(total=20)
        async with self.session.post(self.url + path, json=message, headers=headers, timeout=timeout) as response:
            return Reply(response.status, await response.json(content_type=None))

    async def get(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(self.url + path, timeout=ClientTimeout(total=20)) as response:
            return response.status, await response.read()

    async def new_code(self, test_type: str) -> str:
        reply = await self.post("/api/issue", {"testType": test_type}, **{"X-API-Key": self.issuer_key})
        demand(reply.status == 200, f"the authority gets no code: {reply.word}")
        return str(reply.json["code"])


@dataclass
class Person:
    """One person who reports; keys of the last days, a code, and what the server has acknowledged so far.

    `revises` is the same person's first report, which said that the case is likely: this one confirms it.
    """

    code: str = field(repr=False)
    keys: list[dict[str, Any]] = field(repr=False)
    begun_s: float
    revises: "Person | None" = None
    nonce: str = field(default_factory=lambda: b64(secrets.token_bytes(32)), repr=False)
    token: str = field(default="", repr=False)
    jti: str = ""
    certificate: str = field(default="", repr=False)
    revision_token: str = field(default="", repr=False)

    @classmethod
    async def with_code(cls, api: Api, now_s: float, days: int, test_type: str = "confirmed") -> "Person":
        today = int(now_s // 86_400) * 144
        return cls(await api.new_code(test_type), [day_key(today - 144 * back) for back in range(days, 0, -1)], now_s)

    async def confirmed(self, api: Api, now_s: float) -> "Person":
        """Return the same person with a second code, which confirms what the first report said."""
        return Person(await api.new_code("confirmed"), self.keys, now_s, revises=self)

    @property
    def done(self) -> bool:
        return bool(self.revision_token)

    async def take(self, api: Api, *steps: str) -> None:
        """Send requests one after the other, the first time or again."""
        acts = {"verify": self.verify, "certificate": self.certify, "publish": self.publish}
        for step in steps:
            await acts[step](api)

    async def verify(self, api: Api) -> None:
        message = {"code": self.code, "nonce": self.nonce, "accept": ["confirmed", "likely"]}
        reply = await api.post("/api/verify", message)
        demand(reply.status == 200, f"a code was burnt by a lost answer: {reply.word}")
        demand(self.token in {"", reply.json["token"]}, "the same code and nonce got another token")
        self.token = reply.json["token"]

    async def certify(self, api: Api) -> None:
        reply = await api.post("/api/certificate", {"token": self.token, "ekeyhmac": tekmac_of(self.keys)})
        demand(reply.status == 200, f"an acknowledged token is not known any more: {reply.word}")
        certificate = reply.json["certificate"]
        jti = jwt.decode(certificate, options={"verify_signature": False})["jti"]
        demand(self.jti in {"", jti}, "the same token and HMAC got another jti")
        self.certificate, self.jti = certificate, jti

    async def publish(self, api: Api) -> None:
        reply = await api.post("/v1/publish", self.body())
        demand(reply.status == 200, f"a publish is not taken: {reply.word}")
        inserted, warnings = reply.json["insertedExposures"], reply.json.get("warnings", [])
        if self.done or ALREADY in warnings:
            demand((inserted, warnings) == (0, [ALREADY]), f"a repeat is not recognised: {inserted} keys, {warnings}")
        else:
            demand(inserted == len(self.keys), f"a first publish stores {inserted} of {len(self.keys)} keys")
        demand(self.revision_token in {"", reply.json["revisionToken"]}, "a repeat got another revision token")
        self.revision_token = reply.json["revisionToken"]

    async def try_what_must_fail(self, api: Api, forged: dict[str, Any]) -> None:
        """Send what must be refused of somebody who has published: other body, other keys, other nonce.

        `forged` is a publish of other keys under the same jti.
        """
        other_tekmac = await api.post("/v1/publish", forged)
        demand(other_tekmac.word == INVALID_CERTIFICATE, f"a jti publishes other keys, too: {other_tekmac.word}")
        other_body = await api.post("/v1/publish", self.body(symptomOnsetInterval=self.keys[0]["rollingStartNumber"]))
        demand(other_body.word == "bad_request", f"another body under one certificate: {other_body.word}")
        other_keys = tekmac_of([day_key(self.keys[0]["rollingStartNumber"])])
        certificate = await api.post("/api/certificate", {"token": self.token, "ekeyhmac": other_keys})
        demand(certificate.word == "token_invalid", f"a token certifies other keys, too: {certificate.word}")
        stranger = {"code": self.code, "nonce": b64(secrets.token_bytes(32)), "accept": ["confirmed"]}
        thief = await api.post("/api/verify", stranger)
        demand(thief.word == "code_invalid", f"a code was spent twice: {thief.word}")

    def body(self, **fields: Any) -> dict[str, Any]:
        return {
            "temporaryExposureKeys": self.keys,
            "healthAuthorityID": "vn",
            "verificationPayload": self.certificate,
            "hmacKey": b64(HMAC_KEY),
            "padding": b64(secrets.token_bytes(1024)),
            **({"revisionToken": self.revises.revision_token} if self.revises else {}),
            **fields,
        }

    def key_bytes(self) -> set[bytes]:
        return {base64.b64decode(key["key"]) for key in self.keys}
