"""A file of `keys export` as a third party would make it, of a phone's request."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from forewarn_protocol.sealed_uploads import SealedUpload
from tests.server.reporting_phone import HMAC_KEY, Phone, b64
from tests.server.running_server import Reply, RunningServer


def seal(
    server: RunningServer,
    keys: list[dict[str, Any]],
    token: str,
    *,
    made_s: float | None = None,
    region: str = "vn",
    key: X25519PublicKey | None = None,
    **fields: Any,
) -> bytes:
    publish = {"temporaryExposureKeys": keys, "healthAuthorityID": "vn", "hmacKey": b64(HMAC_KEY), **fields}
    made = int(server.clock.now_s if made_s is None else made_s)
    to = key or server.context.keys.upload.active.private.public_key()
    return SealedUpload(made=made, token=token, publish=publish).seal(to, region, lambda n: "x" * n)


async def sealed_case(server: RunningServer, **fields: Any) -> tuple[Phone, list[dict[str, Any]], bytes]:
    """Return a person's phone, its keys, and the file in which they are sealed."""
    phone = Phone(server, token=await server.new_token())
    keys = phone.past_keys()
    return phone, keys, seal(server, keys, phone.token, **fields)


async def pass_on(server: RunningServer, sealed: bytes, **headers: str) -> Reply:
    """Let the authority's console send a file."""
    given = {"content_type": "application/octet-stream", "x_api_key": server.issuer_key, **headers}
    return await server.send("POST", "/api/upload", sealed, **given)
