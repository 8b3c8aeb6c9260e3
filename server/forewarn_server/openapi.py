"""The OpenAPI 3.1 document of every route, made from the route table and the wire models."""

from aiohttp import web

from forewarn_server.routing import Route, add


def add_routes(app: web.Application) -> None:
    """Serve the document, and the answer to 'are you there?'."""
    add(app, (Route("GET", "/health", _health, "Tell that the server is up."),))


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
