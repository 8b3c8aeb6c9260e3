"""Listens without access log: the application in public, until cancelled or told to stop; the metrics in private."""

import asyncio
import errno
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from forewarn_protocol.errors import Missing
from forewarn_server.config import ServerSettings
from forewarn_server.context import CONTEXT
from forewarn_server.jobs import SUPERVISOR
from forewarn_server.metrics import Metrics
from forewarn_server.silent_callers import SilentCallers

# The library's own messages name the caller's address: nobody hears them. Faults of ours are told by `problems`.
_silent: Final = logging.getLogger("forewarn_server.unheard")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.disabled = True

# A request takes milliseconds; whoever is still sending after this is cut off, and repeats what was not acknowledged.
_SHUTDOWN_S: Final = 3.0

# A proxy in front opens a connection anew now and then; who only holds one is not waited for: the library would do so
# for an hour.
_KEEP_ALIVE_S: Final = 75.0

# No setting: who reads metrics from elsewhere does so through a tunnel or a proxy of the operator's.
_METRICS_HOST: Final = "127.0.0.1"
_METRICS_PATH: Final = "/metrics"


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve `app` and give its real address as URL (port 0 becomes the port that was free).

    Raises:
        Missing: the address cannot be listened on; or what `create_app` needs at start-up is not there.
    """
    silent = SilentCallers()
    app.middlewares.insert(0, silent.note)
    async with _site(app, host, port, silent=silent) as url:
        yield url
    if not app[SUPERVISOR].cancelled():
        # A job that met a programming error: only now, when databases and sockets are closed, may it be told.
        app[SUPERVISOR].result()


@asynccontextmanager
async def telling(metrics: Metrics, port: int) -> AsyncIterator[str]:
    """Serve the metrics to programs on this machine and give their URL.

    Raises:
        Missing: the port cannot be listened on.
    """

    async def tell(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.router.add_get(_METRICS_PATH, tell)
    async with _site(app, _METRICS_HOST, port, remedy="set metrics_port to another") as url:
        yield url + _METRICS_PATH


@asynccontextmanager
async def _site(
    app: web.Application,
    host: str,
    port: int,
    *,
    remedy: str = "choose another with --host and --port",
    silent: SilentCallers | None = None,
) -> AsyncIterator[str]:
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_silent,
        handle_signals=False,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE_S,
        shutdown_timeout=_SHUTDOWN_S,
    )
    try:
        await runner.setup()
        if silent is not None and (server := runner.server) is not None:
            # The head of a request may take as long as its body may.
            silent.watch(lambda: server.connections, app[CONTEXT].settings.upload_wait_seconds)
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            # UnicodeError: what the resolver says of a name with an empty or overlong part.
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is in use" if in_use else "cannot be listened on"
            raise Missing(f"the address {host} port {port} {reason}: {remedy}") from error
        yield f"http://{_for_url(host)}:{runner.addresses[0][1]}"
    finally:
        if silent is not None:
            silent.stop()
        await runner.cleanup()


def _for_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def serve(app: web.Application, settings: ServerSettings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, or until a background job meets a programming error."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with listening(app, settings.host, settings.port) as url:
        say(f"ready {url}")
        # A server without its jobs would go on taking keys that nobody ever seals: better that it ends and says so.
        app[SUPERVISOR].add_done_callback(lambda ended: stop.set() if ended.cancelled() or ended.exception() else None)
        await stop.wait()
