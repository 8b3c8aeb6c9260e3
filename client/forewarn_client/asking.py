"""What a command asks its person on the terminal: a yes, and a passphrase that nobody sees."""

import sys
from typing import Final

import typer

from forewarn_protocol.errors import BadInput

_AGREEMENT: Final = frozenset({"y", "yes", "c", "có", "co"})


def demand_terminal(refusal: str) -> None:
    """Refuse where nobody can answer.

    Raises:
        BadInput: `refusal`, which says what to give instead.
    """
    if not sys.stdin.isatty():
        raise BadInput(refusal)


def agreed(question: str) -> bool:
    """Ask, and take anything but a plain yes for a no."""
    typer.echo(question, nl=False)
    return sys.stdin.readline().strip().lower() in _AGREEMENT


def secret(prompt: str) -> str:
    """Ask for a line that is not shown as it is typed."""
    typed: str = typer.prompt(prompt, prompt_suffix="", hide_input=True, err=True)
    return typed
