"""Issues the configuration of the region: defaults, what the operator's file changes, the keys to trust."""

import json
from typing import Any, Final

from aiohttp import web

from forewarn_protocol.configuration import MAX_REVOKED_KEYS, DeviceConfiguration, parse_configuration
from forewarn_protocol.errors import BadFeed
from forewarn_protocol.exports.signing import public_key_hash
from forewarn_protocol.feeds import FeedHead
from forewarn_server.context import Context
from forewarn_server.public.feeds import write_feed
from forewarn_server.public.keeping import keep_issued
from forewarn_server.public.overrides import read_override
from forewarn_server.public.turn import publishing_turn

OVERRIDE_FILE: Final = "configuration.json"
"""In the data folder; may set the fields below."""
OPEN_TO_OPERATORS: Final = ("median_tx_dbm", "minimum_distinct_rpis", "risk", "tolerance_intervals")


def configuration(context: Context, head: FeedHead) -> DeviceConfiguration:
    """Return what the devices of the region are told.

    Raises:
        BadFeed: the operator's file is malformed.
    """
    settings, export, feed = context.settings, context.keys.export, context.keys.feed
    path = settings.data / OVERRIDE_FILE
    fields: dict[str, Any] = read_override(path, OPEN_TO_OPERATORS)
    fields |= {
        "sequence": head.sequence,
        "issued": head.issued,
        "expires": head.expires,
        "region": settings.region,
        "health_authority_id": settings.authority,
        "export_keys": [
            {"key_id": settings.region, "key_version": key.name, "public_key": key.public_base64}
            for key in (*export.announced, *export.accepted)
        ],
        "feed_keys": [key.public_base64 for key in (*feed.announced, *feed.accepted)],
        "revoked_feed_keys": [public_key_hash(key) for key in feed.over[-MAX_REVOKED_KEYS:]],
        "upload_key": context.keys.upload.active.public_base64,
    }
    try:
        return parse_configuration(json.dumps(fields).encode())
    except BadFeed as error:
        raise BadFeed(f"{path}: {error.message}") from error


def add_jobs(app: web.Application) -> None:
    """Keep the configuration signed."""
    keep_issued(app, "configuration", issue_configuration)


def feed_path(region: str) -> str:
    """Return the URL path of a region's configuration."""
    return f"config/{region}.json"


async def issue_configuration(context: Context) -> None:
    """Write and sign the configuration, in turn with whoever else publishes."""
    async with publishing_turn(context.settings.data):
        path = feed_path(context.settings.region)
        await write_feed(context, path, lambda head: configuration(context, head).encode())
