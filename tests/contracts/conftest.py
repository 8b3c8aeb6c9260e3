"""The loop on which the contract suite runs."""

from collections.abc import Mapping
from typing import Any

from tests.contracts.jumping_loop import JumpingLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    """Let a world jump over its waiting; the others never notice."""
    return {"jumping": JumpingLoop}
