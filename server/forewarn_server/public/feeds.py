"""Writes a signed feed into the public folder: sequence, body, signature, in an order that a crash cannot spoil."""

import asyncio
from collections.abc import Callable
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from forewarn_protocol.feeds import FeedHead, sign_feed
from forewarn_server.context import Context
from forewarn_server.store.exposure_tables import feeds
from forewarn_shell.files import write_together

LIFETIME_S: Final = 24 * 3_600
"""How long a signed feed is good: a device warns on an older one, so a frozen server is seen within a day."""
SIGNATURE_SUFFIX: Final = ".sig"


async def write_feed(context: Context, url_path: str, encode: Callable[[FeedHead], bytes]) -> FeedHead:
    """Sign and write the feed at `url_path` (without leading slash); the caller holds the publishing turn."""
    head = await _next_head(context, url_path)
    body = encode(head)
    signature = sign_feed(context.keys.feed.active.private, url_path, body)
    path = context.settings.public / url_path
    # A device that meets the new body with the old signature fetches both once more.
    await asyncio.to_thread(write_together, {path: body, path.with_name(path.name + SIGNATURE_SUFFIX): signature})
    return head


async def _next_head(context: Context, url_path: str) -> FeedHead:
    now_s = context.now_s()
    async with context.exposure.writing() as connection:
        last = await connection.scalar(select(feeds.c.sequence).where(feeds.c.path == url_path))
        # Stored before it is used, so no two bodies carry one number. Never under the time in seconds: a server
        # restored from last week's backup still rises above what devices have seen.
        sequence = max((last or 0) + 1, now_s)
        row = {"sequence": sequence, "issued_s": now_s, "expires_s": now_s + LIFETIME_S}
        await connection.execute(
            insert(feeds).values(path=url_path, **row).on_conflict_do_update(index_elements=["path"], set_=row)
        )
    return FeedHead(sequence=sequence, issued=now_s, expires=now_s + LIFETIME_S)
