"""Real phones of one region against the real server, over a line that can lose answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.reporting import Outcome, report
from forewarn_protocol.intervals import Interval, interval_at
from tests.client.meetings import AT_ONCE
from tests.server.running_server import RunningServer
from tests.system.lossy_line import LossyLine


@dataclass
class Phones:
    """Phones by name, which all pinned one key; each is opened for one errand, as a command does."""

    server: RunningServer
    line: LossyLine
    folder: Path
    pinned: str

    @asynccontextmanager
    async def phone(self, name: str, **given: object) -> AsyncIterator[Device]:
        known = {"server": self.line.url, "public_key": (self.pinned,)}
        settings = ClientSettings(
            **{"data": self.folder / name, "language": "en", "assessing": "thread", **known, **given}
        )
        async with Device.open(settings, self.server.clock) as device:
            yield device

    async def report(self, name: str, code: str) -> Outcome:
        async with self.phone(name) as device:
            return await report(device, code, consent=lambda _: True, timing=AT_ONCE)

    async def speak(self, name: str, days: int = 3) -> None:
        """Let a phone have spoken on so many days before today, and today."""
        now = interval_at(self.server.clock.utc())
        async with self.phone(name) as device:
            for ago in range(days, -1, -1):
                assert await device.keyring.next_identifier(Interval(now - 144 * ago)) is not None

    async def code(self, **fields: object) -> str:
        return str((await self.server.new_code(**fields))["code"])
