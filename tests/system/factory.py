"""A factory on one box: forty badges in two shifts at a row of machines, provisioned by the real command."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forewarn_client import cli
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.provisioning.badge import BOOT_FOLDER
from forewarn_client.radio import AdvertisingReport
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.status import Status, look
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import Missing
from forewarn_server.setting_up import initialise
from forewarn_shell import command_line
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import REGION, Server, phones_together, seeded_timing
from tests.client.signals.led_tree import choose, make_led, written
from tests.system.network import Network

HOUR_S: Final = 3600.0
BADGES: Final = 40
MACHINES: Final = 20
"""In a row, a metre apart; badges 1 to 20 work at them in the morning, 21 to 40 after them."""
SHIFTS_H: Final = ((0.25, 1.75), (2.0, 3.25))
BREAK_H: Final = (0.75, 1.25)
FETCH_GAP_S: Final = (1800.0, 3600.0)
"""As short as the product allows: what is waited for here is the box."""
ONE_METRE_DBM: Final = -66
TWO_METRES_DBM: Final = -82
"""With a body in between: for badges that say -20 dBm."""

DESK: Final = {"name": "Health desk", "phone": "123", "hours": "every shift"}


def desk_advice() -> dict[str, object]:
    """Return the site's own advice.json: an alert says whom to call in the factory."""
    text = {"title": "You may have been exposed", "steps": ["Wear a mask."], "call": [DESK]}
    return {"texts": {"vi": text, "en": text}}


class Hall:
    """Who hears whom: neighbours at the machines during their shift; two who share a table in the break."""

    def __init__(self, table: tuple[int, int]) -> None:
        self._table = {str(number) for number in table}
        # Millions of times somebody is asked whom nobody hears.
        self._levels = {
            (str(one), str(one + apart)): (level, shift)
            for shift in range(len(SHIFTS_H))
            for one in range(shift * MACHINES + 1, (shift + 1) * MACHINES + 1)
            for apart, level in ((-2, TWO_METRES_DBM), (-1, ONE_METRE_DBM), (1, ONE_METRE_DBM), (2, TWO_METRES_DBM))
            if (one + apart - 1) // MACHINES == shift
        }

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        hour = monotonic_s / HOUR_S
        if BREAK_H[0] <= hour < BREAK_H[1]:
            return ONE_METRE_DBM if sender in self._table and receiver in self._table else None
        heard = self._levels.get((sender, receiver))
        if heard is None:
            return None
        level, shift = heard
        return level if SHIFTS_H[shift][0] <= hour < SHIFTS_H[shift][1] else None


class DeadRadio(LoopbackRadio):
    """An adapter that is not there."""

    async def advertise(self, payload: Payload) -> None:
        del payload
        raise Missing("there is no Bluetooth adapter hci0: plug it in")

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        if window_s:
            raise Missing("there is no Bluetooth adapter hci0: plug it in")
        yield AdvertisingReport(0, b"", 0, b"")


@dataclass
class Factory:
    """The box, the line to it, the badges by number; `cards` holds what was provisioned."""

    clock: VirtualClock
    box: Server
    line: Network
    cards: Path
    folder: Path
    air: Air
    group: asyncio.TaskGroup
    badges: dict[int, ClientSettings]
    tasks: list[asyncio.Task[None]]

    def provision(self) -> None:
        """Run the real command for all badges."""
        site = self.folder / "site.toml"
        site.write_text(
            f'name = "Factory 3"\ndesk = "Health desk, ground floor"\n[badge]\nserver = "{self.line.url}"\n'
            f'public_key = "{self.box.feed_key}"\nradio = "loopback"\nlanguage = "en"\nconfidence = 3\n'
        )
        arguments = ["provision", "--site", str(site), "--count", str(BADGES), "--out", str(self.cards)]
        assert command_line.run(cli.app, "forewarn-client", arguments) == 0

    def switch_on(self, number: int, *, dead: bool = False, server: str | None = None) -> None:
        """Take in a badge's card as its first boot does, and start its daemon; each has a kernel's LED of its own."""
        data, led = self.folder / f"data-{number}", make_led(self.folder / f"led-{number}" / "ACT")
        choose(led, "pattern")
        shutil.copytree(self.cards / f"badge-{number:02}" / BOOT_FOLDER, data)
        given = {"led": str(led)} | ({"server": server} if server else {})
        settings = self.badges[number] = ClientSettings.load(data=data, **given)
        timing = seeded_timing(number, fetch_gap_s=FETCH_GAP_S)
        radio = (DeadRadio if dead else LoopbackRadio)(self.air, str(number), timing)
        daemon = Daemon(settings, self.clock, radio, timing)
        self.tasks.append(self.group.create_task(daemon.run(), name=f"badge {number}"))

    async def switch_off(self) -> None:
        """End every badge's daemon, and wait until each has closed everything."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def come_to(self, hour: float) -> None:
        await self.clock.run_until(hour * HOUR_S)

    @asynccontextmanager
    async def device(self, number: int) -> AsyncIterator[Device]:
        async with Device.open(self.badges[number], self.clock) as device:
            yield device

    async def look_at(self, number: int) -> Status:
        async with self.device(number) as device:
            return await look(device)

    def light(self, number: int) -> str | None:
        """Return the pattern that the kernel was told for a badge's LED."""
        return written(Path(str(self.badges[number].led)), "pattern")


@asynccontextmanager
async def factory(clock: VirtualClock, folder: Path, hall: Hall) -> AsyncIterator[Factory]:
    """Start the box of a site, which publishes each report by itself, and the line that badges reach it by."""
    await asyncio.to_thread(initialise, folder / "box", REGION)
    (folder / "box" / "advice.json").write_text(json.dumps(desk_advice()))
    async with (
        Server.start(clock, folder / "box", minimum_reports_per_file=1) as box,
        Network.to(box.url) as line,
        phones_together() as group,
    ):
        site = Factory(clock, box, line, folder / "cards", folder, Air(clock, hall), group, {}, [])
        try:
            yield site
        finally:
            await site.switch_off()
