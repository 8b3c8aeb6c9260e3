"""The clock, and the server with whose word it is compared: what the daemon would find at its next download."""

from typing import Final

from forewarn_client.connection import ServerTime, connect
from forewarn_client.device import Device
from forewarn_client.doctor.checks import Check
from forewarn_client.pinned_feeds import CONFIGURATION, INDEX, peek
from forewarn_client.status import CLOCK_IS_WRONG_AFTER_S
from forewarn_client.translations import say, say_span
from forewarn_protocol.errors import ForewarnError
from forewarn_shell.clock import Keeper

_KEEPERS: Final = {
    Keeper.NOBODY: "nobody on this machine keeps it",
    Keeper.REAL_TIME_CLOCK: "a real-time clock keeps it",
    Keeper.TIME_SERVICE: "a time service keeps it",
}


async def examine_upstream(device: Device) -> list[Check]:
    """Ask the server for its signed feeds, then weigh the clock with what its answers said."""
    server, told = await _ask_server(device)
    if told is not None:
        device.trust.hear_server(told)
    return [await _clock(device), server, *([] if told is None else [_date(device, told)])]


async def _ask_server(device: Device) -> tuple[Check, ServerTime | None]:
    told = None
    try:
        async with connect(device.settings.server, device.clock) as connection:
            try:
                feeds = [await peek(device, connection, kind) for kind in (CONFIGURATION, INDEX)]
            finally:
                told = connection.server_time
    except ForewarnError as error:
        return Check.refused("server", error), told
    if any(fetched.expired for fetched in feeds):
        return Check.warning("server", say(device.settings.language, "expired.configuration")), told
    return Check.ok("server", f"reachable, and a pinned key vouches for its feeds of {device.settings.region}"), told


async def _clock(device: Device) -> Check:
    verdict = await device.trust.look()
    keeper = _KEEPERS[device.clock.kept_by()]
    if (doubt := verdict.sentence(device.settings.language)) is not None:
        return Check.failure("clock", f"{doubt} ({keeper})")
    return Check.ok("clock", f"trusted; {keeper}")


def _date(device: Device, told: ServerTime) -> Check:
    off_s = device.clock.utc() - told.at(device.clock.monotonic())
    if abs(off_s) <= CLOCK_IS_WRONG_AFTER_S:
        return Check.ok("server's date", "agrees with this device's clock")
    direction = "behind" if off_s < 0 else "ahead of"
    return Check.warning(
        "server's date",
        f"this device's clock is {say_span('en', abs(off_s))} {direction} the server's: set the one that is wrong",
    )
