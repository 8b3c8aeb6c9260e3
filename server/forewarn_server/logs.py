"""Log lines that cannot hold a person's data: only fields of a short list ever pass.

Nothing is logged per request. The journal stamps each line with the second, and the second of a publish is what the
database is careful to forget.
"""

import logging
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_ALLOWED: Final = frozenset(
    {
        "event",
        "level",
        "job",
        "error",
        "where",
        "reason",
        "wait_s",
        "region",
        "count",
        "keys",
        "files",
        "batch",
        "sequence",
        "feed",
    }
)
# Where the libraries themselves print what they were given: parameters and rows, or a caller's address.
_TALKATIVE: Final = ("aiosqlite", "sqlalchemy.engine", "aiohttp.access", "aiohttp.server", "aiohttp.web")


def _only_allowed_fields(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in line.items() if name in _ALLOWED}


def logger() -> structlog.stdlib.BoundLogger:
    """Return the server's logger; a field that is not on the list is dropped without a word."""
    bound: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger("forewarn_server"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            _only_allowed_fields,
            structlog.processors.JSONRenderer(default=type),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return bound


def silence_libraries() -> None:
    """Keep libraries from printing parameters, rows and addresses, at whatever level the rest logs."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def to_standard_error(level: str) -> None:
    """Send log lines to stderr, as `run` does; time stamps are the journal's business."""
    logging.basicConfig(level=level, format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    silence_libraries()
