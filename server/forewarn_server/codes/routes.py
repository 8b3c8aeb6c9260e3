"""The verification routes."""

from aiohttp import web


def add_routes(app: web.Application) -> None:
    """Serve issue, batch-issue, verify, certificate, checkcodestatus and expirecode."""
