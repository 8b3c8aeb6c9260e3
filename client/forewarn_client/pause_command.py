"""The commands `pause` and `resume`: the device falls silent for a while, or works on."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from forewarn_client import pausing
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device, demand_diary
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.translations import say, say_span
from forewarn_protocol.errors import BadInput
from forewarn_shell.clock import Clock, SystemClock

_UNITS_S: Final = {"m": 60, "h": 3600, "d": 24 * 3600}
_LONGEST_S: Final = 30 * 24 * 3600

Span = Annotated[
    str | None, typer.Option("--for", help="How long: 30m, 1h, 2d; without it, until resume.", metavar="SPAN")
]


def pause(context: typer.Context, span: Span = None) -> None:
    """Speak and record nothing for a while; warnings of earlier days still come."""
    settings: ClientSettings = context.obj()
    clock, seconds = SystemClock(), seconds_of(span)
    asyncio.run(_with_device(settings, clock, lambda device: pausing.pause(device, clock.utc() + seconds)))
    language = settings.language
    if seconds == UNTIL_RESUMED:
        typer.echo(say(language, "pause.until_resumed"))
    else:
        typer.echo(say(language, "pause.for", span=say_span(language, seconds)))


def resume(context: typer.Context) -> None:
    """End a pause: speak and record again."""
    settings: ClientSettings = context.obj()
    asyncio.run(_with_device(settings, SystemClock(), pausing.resume))
    typer.echo(say(settings.language, "pause.over"))


def seconds_of(span: str | None) -> float:
    """Return how long a span such as 30m, 1h or 2d is, in seconds; for ever where there is none.

    Raises:
        BadInput: it has another form, or is longer than 30 days.
    """
    if span is None:
        return UNTIL_RESUMED
    form = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", span.strip())
    if form is None or (seconds := int(form[1]) * _UNITS_S[form[2]]) > _LONGEST_S:
        raise BadInput("--for wants a span such as 30m, 1h or 2d, at most 30d")
    return float(seconds)


async def _with_device(settings: ClientSettings, clock: Clock, act: Callable[[Device], Awaitable[None]]) -> None:
    demand_diary(settings.data)
    async with Device.open(settings, clock) as device:
        await act(device)
