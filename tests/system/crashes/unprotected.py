"""The protections that the crash tests rely on, each with a way to be without it: for positive controls alone.

Only a child process of the tests is ever patched, and only for its one life.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.crashes.children import Life

PROTECTIONS: dict[str, Callable[["Life"], None]] = {}


def switch_off(life: "Life") -> None:
    """Take away from this process what the life says."""
    for name in life.unprotected:
        PROTECTIONS[name](life)
