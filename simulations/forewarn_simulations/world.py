"""The one entry that starts a real server and virtual phones on a given clock.

The server is `forewarn_server.app.create_app` behind real HTTP on 127.0.0.1; a phone is the daemon of
`forewarn_client` with a loopback radio. Nothing of either knows that its clock is not the machine's.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

from aiohttp import ClientSession, ClientTimeout, web

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.radio.loopback import Air, LoopbackRadio, Propagation
from forewarn_client.timing import Timing
from forewarn_protocol.errors import ForewarnError, Refused
from forewarn_protocol.verification import ErrorAnswer, IssueAnswer, TestType
from forewarn_server.accounts import api_keys
from forewarn_server.accounts.api_keys import Role
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.context import CONTEXT
from forewarn_server.routing import API_KEY_HEADER
from forewarn_server.serving import listening
from forewarn_server.setting_up import initialise
from forewarn_shell.clock import Clock

REGION: Final = "vn"
_HTTP_TIMEOUT_S: Final = 30.0
_MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 - only a place for the folder that tempfile makes safely


@asynccontextmanager
async def phones_together() -> AsyncIterator[asyncio.TaskGroup]:
    """Own the tasks of phones, which end together."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as several:
        # What the block raised comes out as it was; a daemon's programming error keeps its group.
        if len(several.exceptions) == 1 and isinstance(several.exceptions[0], ForewarnError):
            raise several.exceptions[0] from None
        raise


@dataclass(frozen=True, slots=True)
class Phone:
    """One virtual phone: its settings (they name its data folder) and the task of its daemon."""

    name: str
    settings: ClientSettings
    daemon: asyncio.Task[None] = field(repr=False)


class World:
    """A server, an air, phones. Made by `World.open`; everything in it ends with the block."""

    def __init__(self, clock: Clock, folder: Path, air: Air, server: "Server", group: asyncio.TaskGroup) -> None:
        self.clock = clock
        self.folder = folder
        self.air = air
        self.server = server
        self.phones: dict[str, Phone] = {}
        self._group = group

    @classmethod
    @asynccontextmanager
    async def open(
        cls, clock: Clock, propagation: Propagation, folder: Path, **server_settings: object
    ) -> AsyncIterator[Self]:
        """Start a server in `folder` with the given settings; phones come by `add_phone`.

        A driver on a VirtualClock calls `run_for(0)` before, so that time waits for what it does.
        """
        async with Server.start(clock, folder / "server", **server_settings) as server, phones_together() as group:
            world = cls(clock, folder, Air(clock, propagation), server, group)
            try:
                yield world
            finally:
                for phone in world.phones.values():
                    phone.daemon.cancel()

    def add_phone(
        self, name: str, *, timing: Timing | None = None, server: str | None = None, **settings: object
    ) -> Phone:
        """Switch a phone on; settings are those of ClientSettings. `server`: the way there, if not the direct one."""
        timing = timing or Timing()
        known = ClientSettings.load(
            data=self.folder / "phones" / name,
            server=server or self.server.url,
            public_key=self.server.feed_key,
            region=self.server.settings.region,
            radio="loopback",
            # Hundreds of phones in one process must not start one each.
            **{"assessing": "thread", **settings},
        )
        radio = LoopbackRadio(self.air, name, timing, service_uuid=known.service_uuid)
        daemon = Daemon(known, self.clock, radio, timing)
        phone = self.phones[name] = Phone(name, known, self._group.create_task(daemon.run(), name=f"phone {name}"))
        return phone

    async def switch_off(self, name: str) -> None:
        """End a phone's daemon and wait until it has closed everything."""
        phone = self.phones.pop(name)
        phone.daemon.cancel()
        await asyncio.wait([phone.daemon])

    @asynccontextmanager
    async def device(self, name: str) -> AsyncIterator[Device]:
        """Open a phone's data beside its daemon, as a person's command does."""
        async with Device.open(self.phones[name].settings, self.clock) as device:
            yield device


class Server:
    """A running server: its address, the feed key that phones pin, and the health authority's way in."""

    def __init__(self, url: str, settings: ServerSettings, feed_key: str, api_key: str) -> None:
        self.url = url
        self.settings = settings
        self.feed_key = feed_key
        self._api_key = api_key

    @classmethod
    @asynccontextmanager
    async def start(cls, clock: Clock, data: Path, **settings: object) -> AsyncIterator[Self]:
        """Initialise a data folder and serve it on a free port of 127.0.0.1."""
        made = await asyncio.to_thread(initialise, data, REGION)
        # The clock grid is real time, and during a request simulated time stands still: it would only take longer.
        loaded = ServerSettings.load(data, **{"answer_grid_ms": 0, **settings})
        app = create_app(loaded, clock)
        async with listening(app, "127.0.0.1", 0) as url:
            yield cls(url, loaded, made.feed_key, await _issuer_key(app))

    async def issue_code(
        self, *, test_type: TestType = TestType.CONFIRMED, symptom_date: str = "", test_date: str = ""
    ) -> IssueAnswer:
        """Ask the authority's API for a code, over HTTP and with the issuer's key.

        Raises:
            Refused: the API's word for why not.
        """
        request = {"testType": test_type.value, "symptomDate": symptom_date, "testDate": test_date}
        async with (
            ClientSession(timeout=ClientTimeout(total=_HTTP_TIMEOUT_S)) as session,
            session.post(f"{self.url}/api/issue", json=request, headers={API_KEY_HEADER: self._api_key}) as response,
        ):
            body = await response.read()
            if response.status != HTTPStatus.OK:
                refusal = ErrorAnswer.parse(body)
                raise Refused(f"the authority's API issued no code: {refusal.error}", refusal.error_code)
            return IssueAnswer.parse(body)


async def _issuer_key(app: web.Application) -> str:
    _, key = await api_keys.add(app[CONTEXT], "simulated clinic", Role.ISSUER)
    return key


def seeded_timing(seed: int, **durations: object) -> Timing:
    """Return the product's durations, jittered from a seed instead of the system's randomness."""
    return Timing(random=random.Random(seed), **durations)  # type: ignore[arg-type]  # dataclass fields by name


@asynccontextmanager
async def scratch_folder() -> AsyncIterator[Path]:
    """Give a folder that is deleted afterwards, in memory where the machine has such a place.

    The databases sync each commit to disk; on a slow disk that would be most of what a simulation waits for.
    """
    place = _MEMORY_DISK if os.access(_MEMORY_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="forewarn-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
