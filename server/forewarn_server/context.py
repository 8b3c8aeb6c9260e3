"""What every feature is given: settings, clock, keys, the two open databases, metrics."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web
from sqlalchemy import func, select

from forewarn_server.codes.guesses import Guesses
from forewarn_server.config import ServerSettings
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.logs import silence_libraries
from forewarn_server.metrics import Metrics
from forewarn_server.steady_time import SteadyTime
from forewarn_server.store.engine import Database
from forewarn_server.store.exposure_tables import feeds
from forewarn_server.store.schema import EXPOSURE, REGISTRY
from forewarn_shell.clock import Clock, SystemClock

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Context:
    """The open parts of one server process."""

    settings: ServerSettings
    clock: Clock
    keys: KeyRings = field(repr=False)
    exposure: Database
    registry: Database
    metrics: Metrics = field(default_factory=Metrics, repr=False)
    guesses: Guesses = field(default_factory=Guesses, repr=False)
    time: SteadyTime = field(default_factory=SteadyTime, repr=False)

    def now_s(self) -> int:
        """Return the clock's Unix time in whole seconds.

        Raises:
            Missing: the clock cannot be believed at this moment.
        """
        return int(self.time.now_s(self.clock))

    def reached_s(self) -> int:
        """Return the time that has certainly been reached, in whole Unix seconds: by it things are forgotten."""
        return int(self.time.reached_s(self.clock))


CONTEXT: Final = web.AppKey("context", Context)


@asynccontextmanager
async def open_context(settings: ServerSettings, clock: Clock) -> AsyncIterator[Context]:
    """Load the keys and open both databases, for the web application and for commands alike.

    Raises:
        Missing: a key or a database is not there, or has another schema than this version.
    """
    silence_libraries()
    keys = KeyRings(KeyFolder.of(settings), clock)
    keys.load()
    for schema in (EXPOSURE, REGISTRY):
        await asyncio.to_thread(schema.check, settings.data)
    exposure = Database.open(EXPOSURE.path(settings.data))
    registry = Database.open(REGISTRY.path(settings.data))
    try:
        async with exposure.reading() as connection:
            recorded_s = await connection.scalar(select(func.max(feeds.c.issued_s)))
        yield Context(settings, clock, keys, exposure, registry, time=SteadyTime(recorded_s))
    finally:
        await exposure.close()
        await registry.close()


def in_context(data: Path, act: Callable[[Context], Awaitable[Result]]) -> Result:
    """Run one command's work on the server in `data`, which may be running at the same time."""

    async def whole() -> Result:
        async with open_context(ServerSettings.load(data), SystemClock()) as context:
            return await act(context)

    return asyncio.run(whole())
