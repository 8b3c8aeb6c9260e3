import hashlib
import io
from typing import Any

from forewarn_protocol.exports.index import Index
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.feeds import verify_feed
from forewarn_server.exports.sealing import seal
from tests.server.reporting_phone import Phone, b64, published
from tests.server.running_server import RunningServer


async def index_of(server: RunningServer) -> Index:
    body = (await server.send("GET", "/exports/vn/index.json")).body
    signature = (await server.send("GET", "/exports/vn/index.json.sig")).body
    verify_feed([server.context.keys.feed.private.public_key()], "exports/vn/index.json", body, signature)
    return Index.parse(body)


async def exports_of(server: RunningServer) -> list[ExportFile]:
    files = []
    for entry in (await index_of(server)).files:
        reply = await server.send("GET", f"/exports/vn/{entry.path}")
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/zip"
        assert hashlib.sha256(reply.body).hexdigest() == entry.sha256
        assert len(reply.body) == entry.bytes
        export = ExportFile.open_zip(io.BytesIO(reply.body))
        export.verify([server.context.keys.export.private.public_key()])
        assert export.key_count + export.revised_key_count == entry.keys
        files.append(export)
    return files


def keys_in(export: ExportFile) -> set[str]:
    return {b64(key.tek.key) for key in export.keys()}  # noqa: SIM118 - a method of an export, not of a dict


def texts(keys: list[dict[str, Any]]) -> set[str]:
    return {key["key"] for key in keys}


async def test_what_three_people_publish_is_sealed_signed_and_read_back(server: RunningServer) -> None:
    reports = [Phone(server).past_keys() for _ in range(3)]
    for keys in reports:
        await published(server, keys)
    await seal(server.context)
    (export,) = await exports_of(server)
    assert texts([key for keys in reports for key in keys]) <= keys_in(export)
    assert export.key_count == 1_000
    assert export.header.region == "vn"
    assert export.header.end_s % 3_600 == 0
