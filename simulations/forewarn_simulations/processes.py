"""Starts the real server, or a phone with company, as a process of its own on a given clock.

`python -m forewarn_simulations.processes server --data DIR --epoch S --factor N`. This is the only way to run either on
another clock than the machine's: the product's commands can't be told one. A process can be killed, which is what the
tests of crashes do to it; the demo and most tests run everything in one process, in a `World`.
"""

import asyncio
import hashlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Never

import typer

from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.running import until_sigterm
from forewarn_client.speaking import payload_of
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadInput
from forewarn_protocol.intervals import INTERVAL_S, day_at, first_interval, interval_at
from forewarn_protocol.keys import KEY_BYTES, TemporaryExposureKey
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.logs import to_standard_error
from forewarn_server.serving import serve
from forewarn_shell import command_line
from forewarn_shell.clock import Clock
from forewarn_simulations.clocks import ScaledClock
from forewarn_simulations.world import REGION, phones_together

PHONE: Final = "phone"
_NEIGHBOUR: Final = Metadata(-20, Confidence.HIGH)
_SIDE_BY_SIDE_DBM: Final = -64
"""About half a metre in the open, for phones that say -20 dBm."""

app = typer.Typer(
    help="Forewarn's real server or phone as a process of its own, on a clock that is given.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Epoch = Annotated[float, typer.Option(help="Unix time at which the process starts, in seconds.")]
Factor = Annotated[float, typer.Option(help="Simulated seconds in a real one.")]
Jumps = Annotated[
    list[str], typer.Option("--jump", help="AT:BY, both in simulated seconds: steps the Unix time; repeatable.")
]


@app.command()
def server(
    data: Annotated[Path, typer.Option(help="Folder that forewarn-server init has made.")],
    epoch: Epoch,
    factor: Factor = 1.0,
    jump: Jumps = [],  # noqa: B006 - Typer copies it
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 0,
) -> None:
    """Serve until SIGTERM or Ctrl-C, on the given clock."""
    run_server(ServerSettings.load(data, port=port), clock_of(epoch, factor, jump), typer.echo)


@app.command()
def phone(  # noqa: PLR0917 - Typer passes options by name
    data: Annotated[Path, typer.Option(help="Folder of the diary.")],
    server: Annotated[str, typer.Option(help="Address of the server.")],
    public_key: Annotated[str, typer.Option(help="The server's feed key.")],
    epoch: Epoch,
    factor: Factor = 1.0,
    jump: Jumps = [],  # noqa: B006 - as above
    neighbour: Annotated[
        list[str], typer.Option(help="Name of somebody who sits beside the phone and speaks; repeatable.")
    ] = [],  # noqa: B006 - as above
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C, on the given clock and an air of its own."""
    settings = ClientSettings.load(data=data, server=server, public_key=public_key, region=REGION)
    clock = clock_of(epoch, factor, jump)
    run_phone(settings, clock, Air(clock, SideBySide()), neighbour, lambda: typer.echo("ready"))


def run_server(settings: ServerSettings, clock: Clock, say: Callable[[str], None]) -> None:
    """Serve until a signal; `say` gets the ready line."""
    to_standard_error(settings.log_level)
    asyncio.run(serve(create_app(settings, clock), settings, say))


def run_phone(
    settings: ClientSettings, clock: Clock, air: Air, neighbours: Sequence[str], ready: Callable[[], None]
) -> None:
    """Run a daemon on an air with these neighbours until a signal; `ready` is called once it works."""
    with suppress(asyncio.CancelledError):
        asyncio.run(until_sigterm(in_company(settings, clock, air, neighbours, ready)))


async def in_company(
    settings: ClientSettings, clock: Clock, air: Air, neighbours: Sequence[str], ready: Callable[[], None]
) -> Never:
    """Run the daemon and its neighbours; they end together."""
    timing = Timing()
    radio = LoopbackRadio(air, PHONE, timing, service_uuid=settings.service_uuid)
    async with phones_together() as group:
        for name in neighbours:
            group.create_task(_speak_as(name, air, timing, settings.service_uuid), name=f"neighbour {name}")
        group.create_task(Daemon(settings, clock, radio, timing).run(ready), name="daemon")
    raise AssertionError("a daemon returned")


async def _speak_as(name: str, air: Air, timing: Timing, service_uuid: int) -> None:
    radio = LoopbackRadio(air, name, timing, service_uuid=service_uuid)
    await radio.start()
    while True:
        now_s = air.clock.utc()
        await radio.advertise(payload_of(neighbour_key(name, day_at(now_s)), interval_at(now_s), _NEIGHBOUR))
        await air.clock.sleep_until(air.clock.monotonic() + INTERVAL_S - now_s % INTERVAL_S)


def neighbour_key(name: str, day: date) -> TemporaryExposureKey:
    """Return what a neighbour of this name speaks on a UTC day; whoever knows the name can publish it."""
    secret = hashlib.sha256(f"{name} {day.isoformat()}".encode()).digest()
    return TemporaryExposureKey(secret[:KEY_BYTES], first_interval(day))


class SideBySide:
    """Everybody hears everybody at half a metre."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        """Return the one strength there is."""
        del sender, receiver, monotonic_s
        return _SIDE_BY_SIDE_DBM


def clock_of(epoch_s: float, factor: float, jumps: Sequence[str]) -> ScaledClock:
    """Return the clock that the options describe.

    Raises:
        BadInput: a jump is not AT:BY, or the factor is no positive number.
    """
    try:
        steps = [(float(at_s), float(by_s)) for at_s, by_s in (jump.split(":") for jump in jumps)]
        return ScaledClock(epoch_s, factor, steps)
    except ValueError as error:
        raise BadInput("a factor is a number above 0, and a jump is AT:BY, as in 3600:-60") from error


if __name__ == "__main__":
    sys.exit(command_line.run(app, "python -m forewarn_simulations.processes"))
