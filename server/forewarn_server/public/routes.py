"""Serves the public folder at /exports, /config and /advice: plain files of three shapes, and nothing outside."""

import re
from typing import Final

from aiohttp import web

from forewarn_server.context import CONTEXT
from forewarn_server.routing import Route, add

# As long as a region may be: the file system refuses to look for a name of any length.
_NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
_NUMBER: Final = r"[0-9]{1,12}"
_SHAPES: Final = (
    re.compile(rf"exports/{_NAME}/(index\.txt|index\.json(\.sig)?|{_NUMBER}-{_NUMBER}-{_NUMBER}\.zip)", re.ASCII),
    re.compile(rf"(config|advice)/{_NAME}\.json(\.sig)?", re.ASCII),
)
_CONTENT_TYPES: Final = {
    ".zip": "application/zip",
    ".json": "application/json",
    ".sig": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}
# A sealed file never changes; a feed may be new at each full hour, and body and signature must not age apart.
_CACHE_CONTROL: Final = {".zip": "public, max-age=86400, immutable"}
_FEED_CACHE_CONTROL: Final = "public, max-age=60"


def add_routes(app: web.Application) -> None:
    """Serve the public files."""
    paths = {
        "/exports/{region}/{name}": "An export file (zip), or the index of all: index.json, its .sig, index.txt.",
        "/config/{name}": "The signed configuration of a region, and its .sig.",
        "/advice/{name}": "What an alert tells a person of a region, and its .sig.",
    }
    add(
        app,
        (
            Route("GET", path, _public_file, summary, content_type="application/octet-stream")
            for path, summary in paths.items()
        ),
    )


async def _public_file(request: web.Request) -> web.StreamResponse:
    url_path = request.path.removeprefix("/")
    # The decoded path must have one of the shapes whole: no dot-dot, no hidden file that is still being written.
    if not any(shape.fullmatch(url_path) for shape in _SHAPES):
        raise web.HTTPNotFound
    path = request.app[CONTEXT].settings.public / url_path
    if not path.is_file():
        raise web.HTTPNotFound
    headers = {
        "Content-Type": _CONTENT_TYPES[path.suffix],
        "Cache-Control": _CACHE_CONTROL.get(path.suffix, _FEED_CACHE_CONTROL),
    }
    return web.FileResponse(path, headers=headers)
