"""Issues the advice of the region: the operator's own text, or the one that comes with Forewarn."""

import json
from importlib import resources
from typing import Any, Final

from aiohttp import web

from forewarn_protocol.advice import Advice, parse_advice
from forewarn_protocol.errors import BadFeed
from forewarn_protocol.feeds import FeedHead
from forewarn_server.context import Context
from forewarn_server.public.feeds import write_feed
from forewarn_server.public.keeping import keep_issued
from forewarn_server.public.overrides import read_override
from forewarn_server.public.turn import publishing_turn

OVERRIDE_FILE: Final = "advice.json"
"""In the data folder; holds `texts`: {"vi": {title, steps, call: [{name, phone, hours}], url}, "en": {…}}."""
_GENERIC: Final = "generic"


def default_texts(region: str) -> dict[str, Any]:
    """Return the texts that come with Forewarn: those of the region, else generic ones without a hotline."""
    folder = resources.files("forewarn_server.advice") / "texts"
    own = folder / f"{region}.json"
    file = own if own.is_file() else folder / f"{_GENERIC}.json"
    texts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return texts


def advice(context: Context, head: FeedHead) -> Advice:
    """Return what an alert tells a person of the region.

    Raises:
        BadFeed: the operator's file is malformed, or lacks a language.
    """
    settings = context.settings
    path = settings.data / OVERRIDE_FILE
    fields = read_override(path, ("texts",))
    fields.setdefault("texts", default_texts(settings.region))
    fields |= {"sequence": head.sequence, "issued": head.issued, "expires": head.expires, "region": settings.region}
    try:
        return parse_advice(json.dumps(fields).encode())
    except BadFeed as error:
        raise BadFeed(f"{path}: {error.message}") from error


def add_jobs(app: web.Application) -> None:
    """Keep the advice signed."""
    keep_issued(app, "advice", issue_advice)


def feed_path(region: str) -> str:
    """Return the URL path of a region's advice."""
    return f"advice/{region}.json"


async def issue_advice(context: Context) -> None:
    """Write and sign the advice, in turn with whoever else publishes."""
    async with publishing_turn(context.settings.data):
        path = feed_path(context.settings.region)
        await write_feed(context, path, lambda head: advice(context, head).encode())
