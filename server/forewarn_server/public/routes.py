"""Serves the public folder at /exports, /config and /advice: plain files of three shapes, and nothing outside."""

import re
from typing import Final

from aiohttp import web

from forewarn_server.context import CONTEXT
from forewarn_server.hours import DAY_S
from forewarn_server.routing import Route, add

# As long as a region may be: the file system refuses to look for a name of any length.
_NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
_NUMBER: Final = r"[0-9]{1,12}"
_SHAPES: Final = (
    re.compile(rf"exports/{_NAME}/index\.(txt|json(\.sig)?)", re.ASCII),
    re.compile(rf"exports/{_NAME}/{_NUMBER}-(?P<end_s>{_NUMBER})-{_NUMBER}\.zip", re.ASCII),
    re.compile(rf"(config|advice)/{_NAME}\.json(\.sig)?", re.ASCII),
)
_CONTENT_TYPES: Final = {
    ".zip": "application/zip",
    ".json": "application/json",
    ".sig": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}
# A sealed file never changes, but no cache may serve it after it is forgotten here.
_EXPORT_MAX_AGE_S: Final = 86_400
# A feed may be new at each full hour, and body and signature must not age apart.
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
    context = request.app[CONTEXT]
    url_path = request.path.removeprefix("/")
    # The decoded path must have one of the shapes whole: no dot-dot, no hidden file that is still being written.
    shape = next(filter(None, (shape.fullmatch(url_path) for shape in _SHAPES)), None)
    path = context.settings.public / url_path
    if shape is None or not path.is_file():
        raise web.HTTPNotFound
    cache_control = _FEED_CACHE_CONTROL
    if end_s := shape.groupdict().get("end_s"):
        left_s = int(end_s) + context.settings.key_retention_days * DAY_S - context.reached_s()
        if left_s <= 0:
            raise web.HTTPNotFound
        cache_control = f"public, max-age={min(_EXPORT_MAX_AGE_S, left_s)}, immutable"
    headers = {"Content-Type": _CONTENT_TYPES[path.suffix], "Cache-Control": cache_control}
    return web.FileResponse(path, headers=headers)
