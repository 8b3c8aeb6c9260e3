"""The command `page`: prints the link that opens the page, and serves the page where no daemon does."""

import asyncio
import json
import math
from contextlib import suppress
from typing import Annotated

import typer

from forewarn_client.config import ClientSettings
from forewarn_client.page.address import is_loopback, link, listen
from forewarn_client.page.keys import PAGE_KEY_FILE
from forewarn_client.presence import is_running
from forewarn_client.running import until_sigterm
from forewarn_client.translations import say
from forewarn_shell.clock import SystemClock

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
New = Annotated[bool, typer.Option("--new", help="Make a new link: the old one, and every open page, ends.")]


def page(context: typer.Context, *, new: New = False, as_json: Json = False) -> None:
    """Print the link of your page, as QR for a badge's USB link; serve the page where the daemon does not."""
    settings: ClientSettings = context.obj()
    if new:
        (settings.data / PAGE_KEY_FILE).unlink(missing_ok=True)
    if settings.page_port and is_running(settings.data):
        _tell(settings, settings.page_port, as_json=as_json, by_daemon=True)
        return
    with listen(settings) as listener:
        _tell(settings, listener.getsockname()[1], as_json=as_json, by_daemon=False)
        from forewarn_client.page.serving import serve  # noqa: PLC0415 - a daemon's process never needs it

        with suppress(asyncio.CancelledError):
            asyncio.run(until_sigterm(serve(settings, SystemClock(), listener, idle_s=math.inf)))


def _tell(settings: ClientSettings, port: int, *, as_json: bool, by_daemon: bool) -> None:
    address = link(settings, port)
    if as_json:
        typer.echo(json.dumps({"address": address, "served_by_daemon": by_daemon}))
        return
    here = is_loopback(settings.page_host)
    typer.echo(say(settings.language, "page.here" if here else "page.link"))
    typer.echo(address)
    if not here:
        import segno  # noqa: PLC0415 - as above

        segno.make(address, micro=False).terminal(compact=True)
    typer.echo(say(settings.language, "page.yours" if by_daemon else "page.yours_while"))
