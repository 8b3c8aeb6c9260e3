"""A small server that tells the truth unless a test makes it lie: feeds, exports, and the three steps of a report."""

import hashlib
import io
import json
import secrets
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key

from forewarn_protocol.cover import CHAFF_HEADER, DAILY_BYTES
from forewarn_protocol.exports.header import ExportHeader
from forewarn_protocol.exports.signing import ExportSigner, public_key_to_base64
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.feeds import sign_feed
from forewarn_protocol.keys import DiagnosisKey
from forewarn_protocol.publishing import parse_publish
from forewarn_protocol.verification import CertificateRequest, VerifyRequest, tekmac
from forewarn_shell.clock import Clock

DAY_S = 24 * 3600
TEXT = {"title": "Stay at home", "steps": ["Stay at home for five days."], "call": [], "url": None}
CHAFF_ANSWERS = {
    "/api/verify": {"testtype": "confirmed", "token": "a token of nobody"},
    "/api/certificate": {"certificate": "worthless"},
    "/v1/publish": {"revisionToken": "of nobody", "insertedExposures": 1},
}
CALL = {"name": "Hotline", "phone": "19009095", "hours": "always"}


def p256(number: int) -> EllipticCurvePrivateKey:
    """Return the test key of this number."""
    return derive_private_key(number, SECP256R1())


def public(key: EllipticCurvePrivateKey) -> str:
    return public_key_to_base64(key.public_key())


@dataclass
class HonestServer:
    """What it serves is in `files` by URL path; what it was asked is in `asked`; `faults` spoil single answers.

    `encodings` holds the Accept-Encoding of every request.
    """

    clock: Clock
    url: str = ""
    region: str = "vn"
    feed_key: EllipticCurvePrivateKey = field(default_factory=lambda: p256(1))
    export_key: EllipticCurvePrivateKey = field(default_factory=lambda: p256(2))
    sequence: int = 1
    files: dict[str, bytes] = field(default_factory=dict)
    index: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    encodings: list[str | None] = field(default_factory=list)
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    faults: dict[str, list[Callable[[], web.StreamResponse | None]]] = field(default_factory=dict)
    date: str | None = None
    on_request: Callable[[], object] | None = None
    # The authority: codes by their text, who claimed them, what was published.
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    certified: dict[str, bytes] = field(default_factory=dict)
    published: dict[str, bytes] = field(default_factory=dict)
    keys_stored: Counter[str] = field(default_factory=Counter)

    @property
    def public_key(self) -> str:
        return public(self.feed_key)

    def put_feed(self, path: str, fields: dict[str, Any], *, life_s: int = DAY_S, **other: Any) -> None:
        """Sign and serve a feed of the server's present sequence."""
        issued = int(self.clock.utc())
        head = {"sequence": self.sequence, "issued": issued, "expires": issued + life_s}
        body = json.dumps({**head, **fields, **other}).encode()
        self.files[path] = body
        self.files[f"{path}.sig"] = sign_feed(self.feed_key, path, body)

    def put_feeds(self, **configuration: Any) -> None:
        """Sign and serve all three feeds anew."""
        export_keys = [{"key_id": "vn", "key_version": "v1", "public_key": public(self.export_key)}]
        fields = {"region": self.region, "health_authority_id": "vn.health", "export_keys": export_keys}
        self.put_feed(f"/config/{self.region}.json", {**fields, **configuration})
        text = {**TEXT, "call": [CALL]}
        self.put_feed(
            f"/advice/{self.region}.json",
            {"region": self.region, "texts": {"en": text, "vi": {**text, "title": "Hãy ở nhà"}}},
        )
        self.put_index()

    def put_index(self, *, life_s: int = DAY_S) -> None:
        self.put_feed(f"/exports/{self.region}/index.json", {"files": self.index}, life_s=life_s)

    def put_export(
        self,
        keys: list[DiagnosisKey],
        revised: list[DiagnosisKey] | None = None,
        *,
        signer: EllipticCurvePrivateKey | None = None,
        name: str | None = None,
    ) -> str:
        """Serve an export and list it in the index; return its URL path."""
        out = io.BytesIO()
        now_s = int(self.clock.utc())
        header = ExportHeader(now_s - 3600, now_s, self.region)
        ordered = sorted(keys, key=lambda key: key.tek.key)
        write_export(out, header, ordered, revised or [], [ExportSigner(signer or self.export_key, "vn", "v1")])
        body, name = out.getvalue(), name or f"{len(self.index):04}.zip"
        digest = hashlib.sha256(body).hexdigest()
        self.index.append({"path": name, "sha256": digest, "bytes": len(body), "keys": len(keys)})
        path = f"/exports/{self.region}/{name}"
        self.files[path] = body
        self.sequence += 1
        self.put_index()
        return path

    def spoil(self, path: str, *faults: Callable[[], web.StreamResponse | None]) -> None:
        """Let the next requests of a path meet these faults, one each; a fault without an answer cuts the line."""
        self.faults.setdefault(path, []).extend(faults)

    def count(self, path: str) -> int:
        return self.asked.count(path)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request, after noting it."""
        body = await request.read()
        self.asked.append(request.path)
        self.encodings.append(request.headers.get("Accept-Encoding"))
        if self.on_request is not None:
            self.on_request()
        if request.method == "POST":
            self.bodies.append((request.path, body))
        if CHAFF_HEADER in request.headers:
            response: web.StreamResponse = web.json_response(CHAFF_ANSWERS[request.path])
        else:
            response = self._answer(request.path, body) if request.method == "POST" else self._file(request.path)
        if faults := self.faults.get(request.path):
            # The work is done, the answer is lost: the worst that a network does.
            spoiled = faults.pop(0)()
            if spoiled is None and request.transport is not None:
                request.transport.close()
            response = spoiled or response
        response.headers["Date"] = self.date or formatdate(self.clock.utc(), usegmt=True)
        return response

    def _file(self, path: str) -> web.Response:
        body = self.files.get(path)
        return web.Response(status=404) if body is None else web.Response(body=body)

    def _answer(self, path: str, body: bytes) -> web.Response:
        if path == "/v1/daily":
            return web.Response(body=secrets.token_bytes(DAILY_BYTES))
        try:
            return {"/api/verify": self._verify, "/api/certificate": self._certify, "/v1/publish": self._publish}[path](
                body
            )
        except _No as no:
            field_name = "code" if path == "/v1/publish" else "errorCode"
            return web.json_response({"error": "no", field_name: no.code}, status=no.status)

    def _verify(self, body: bytes) -> web.Response:
        request = VerifyRequest.parse(body)
        code = self.codes.get(request.code)
        if code is None or code.get("nonce", request.nonce) != request.nonce:
            raise _No("code_invalid")
        if code.get("error"):
            raise _No(code["error"], code.get("status", 400))
        finding = code.get("finding", "confirmed")
        if finding not in request.accept:
            raise _No("unsupported_test_type", 412)
        code["nonce"] = request.nonce
        token = f"token-of-{request.code}"
        return web.json_response(
            {"testtype": finding, "token": token, "symptomDate": code.get("symptom_date", ""), "padding": ""}
        )

    def _certify(self, body: bytes) -> web.Response:
        request = CertificateRequest.parse(body)
        if self.certified.setdefault(request.token, request.ekeyhmac) != request.ekeyhmac:
            raise _No("token_invalid")
        # A real one differs each time, by its expiry and signature.
        return web.json_response({"certificate": f"{request.token}.{len(self.asked)}"})

    def _publish(self, body: bytes) -> web.Response:
        request = parse_publish(body)
        jti = request.verification_payload.rpartition(".")[0]
        if self.certified.get(jti) != tekmac(request.keys, request.hmac_key):
            raise _No("health_authority_verification_certificate_invalid", 401)
        if (earlier := self.published.setdefault(jti, request.fingerprint())) != request.fingerprint():
            raise _No("bad_request")
        del earlier
        for key in request.keys:
            self.keys_stored[key.key] += 1
        return web.json_response({"revisionToken": "a revision token", "insertedExposures": len(request.keys)})

    def stored_keys(self) -> set[bytes]:
        return {b64decode(key) for key in self.keys_stored}


class _No(Exception):
    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@asynccontextmanager
async def serving(clock: Clock, server: HonestServer | None = None) -> AsyncIterator[HonestServer]:
    """Serve feeds, an empty index and the authority's API on 127.0.0.1; `server`: one that a test has made."""
    server = server or HonestServer(clock)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as http:
        server.url = str(http.make_url("")).rstrip("/")
        server.put_feeds()
        yield server
