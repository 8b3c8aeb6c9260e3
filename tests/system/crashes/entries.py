"""What the killed processes run: the product, started as `forewarn_simulations.processes` starts it, and watched."""

import asyncio
import logging
from datetime import date
from typing import Any

from aiohttp import web

import forewarn_server.app
from forewarn_client import daemon as daemon_module
from forewarn_client.alerts import Alert
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.store import Diary
from forewarn_client.radio.loopback import Air, Transmission
from forewarn_client.reporting import report
from forewarn_protocol.advertisement import decode
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context, open_context
from forewarn_server.exports.sealing import seal
from forewarn_server.retention import jobs as retention
from forewarn_server.retention.forgetting import Forgotten
from forewarn_server.setting_up import initialise
from forewarn_simulations.clocks import ScaledClock
from forewarn_simulations.processes import PHONE, SideBySide, run_phone, run_server
from tests.system.crashes.children import Life
from tests.system.crashes.unprotected import switch_off


def serve(life: Life) -> None:
    """Serve; tell the trace when an answer is about to leave, and the parent when a day's forgetting is done."""
    switch_off(life)
    add_headers = forewarn_server.app._add_headers

    async def answering(request: web.Request, response: web.StreamResponse) -> None:
        life.trace.tell(f"answer {request.path}" if request.method == "POST" else "answer GET")
        await add_headers(request, response)

    forget = retention.forget

    async def forgetting(context: Context) -> Forgotten:
        forgotten = await forget(context)
        life.say("forgotten", forgotten.files)
        return forgotten

    forewarn_server.app._add_headers = answering
    retention.forget = forgetting
    settings = ServerSettings.load(life.data, port=0)
    clock = ScaledClock(life.epoch_s, life.factor)
    run_server(settings, clock, lambda line: life.say("ready", line.removeprefix("ready ")))


def set_up(life: Life) -> None:
    """Make a server of an empty folder, as `forewarn-server init` does."""
    switch_off(life)
    initialise(life.data, "vn", clock=ScaledClock(life.epoch_s, life.factor))
    life.say("made")


def seal_now(life: Life) -> None:
    """Seal once, as the operator's command does beside a running server."""
    switch_off(life)

    async def sealing() -> int:
        async with open_context(ServerSettings.load(life.data), ScaledClock(life.epoch_s, life.factor)) as context:
            return (await seal(context)).files

    life.say("sealed", asyncio.run(sealing()))


class WitnessedAir(Air):
    """Remembers what the phone says before it is on the air, so that nothing it ever said can be missing."""

    life: Life

    def begin(self, transmission: Transmission) -> None:
        if transmission.sender == PHONE:
            payload = decode(transmission.advertisement)
            self.life.trace.remember("spoke", rpi=payload.rpi.hex(), address=transmission.address.hex())
            self.life.trace.tell("speak")
        super().begin(transmission)


def carry(life: Life) -> None:
    """Run a phone among its neighbours, and remember what it has recorded, spoken and told."""
    switch_off(life)
    clock = ScaledClock(life.epoch_s, life.factor)
    record, judge = Diary.record, daemon_module.judge

    async def recording(self: Diary, window: ScanWindow) -> None:
        await record(self, window)
        if window.bursts:
            life.trace.remember("recorded", start_s=window.start_s, block=window.encode().hex())

    async def judging(device: Device) -> list[Alert]:
        told = await judge(device)
        for alert in told:
            life.trace.remember("told", day=alert.day.isoformat())
        life.say("judged", len(told))
        return told

    Diary.record = recording
    daemon_module.judge = judging
    air = WitnessedAir(clock, SideBySide())
    air.life = life
    neighbours = life.settings.pop("neighbours")
    run_phone(_settings(life), clock, air, neighbours, lambda: life.say("ready"))


def give(life: Life) -> None:
    """Report with a code, as the person's command does."""
    code, onset = life.settings.pop("code"), date.fromisoformat(life.settings.pop("onset"))
    clock = ScaledClock(life.epoch_s, life.factor)
    switch_off(life)

    async def reporting() -> str:
        life.say("ready")
        async with Device.open(_settings(life), clock) as device:
            return str(await report(device, code, onset=onset, consent=lambda _: True))

    life.say("reported", asyncio.run(reporting()))


def _settings(life: Life) -> ClientSettings:
    logging.disable(logging.WARNING)
    known: dict[str, Any] = {"language": "en", "radio": "loopback", **life.settings}
    return ClientSettings.load(data=life.data, **known)
