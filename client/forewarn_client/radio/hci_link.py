"""A controller at the end of a transport: commands that are answered or fail as Missing, and whether it is still there.

What bumble raises, and what it would log, ends here: its lower log levels hold addresses and identifiers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from bumble import hci
from bumble.core import BaseBumbleError
from bumble.host import Host
from bumble.transport import open_transport
from bumble.transport.common import Transport

from forewarn_client.radio.hci_commands import Command, Dialect, Extended, Legacy
from forewarn_client.radio.hci_socket import open_adapter
from forewarn_protocol.errors import Missing
from forewarn_protocol.metadata import PLAUSIBLE_TX_DBM

ANSWER_WITHIN_S: Final = 2.0
"""A controller answers within milliseconds, and over a slow serial line within a tenth of a second."""
READY_WITHIN_S: Final = 30.0
"""Some adapters are given their firmware first."""

_GONE: Final = "the Bluetooth controller is gone: plug it in again, or look at hci_transport in the settings"
_REPLUG: Final = "unplug it and plug it in again, or restart this machine"

_Answer = TypeVar("_Answer")

Opener = Callable[[], Awaitable[Transport]]
Report = hci.HCI_LE_Advertising_Report_Event.Report | hci.HCI_LE_Extended_Advertising_Report_Event.Report


async def open_named(name: str) -> Transport:
    """Open the transport of the setting `hci_transport`.

    Raises:
        Missing: nothing is there, or it may not be used.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "hci-socket":
        return open_adapter(int(rest or 0))
    try:
        return await open_transport(name)
    except Exception as error:  # each of bumble's transports has another library under it, with errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Missing(f"the Bluetooth controller {name} can't be opened ({reason}): look at hci_transport") from error


class _Host(Host):
    """bumble's host, which also tells of a Hardware Error (Core Specification 5.3, vol 4 part E 7.7.16)."""

    broken_down: Callable[[], None] = staticmethod(lambda: None)

    def on_hci_hardware_error_event(self, event: hci.HCI_Event) -> None:
        del event
        self.broken_down()


class HciLink:
    """One controller, from its reset to its loss. `lost` is done once it is not to be relied upon any more."""

    def __init__(self, transport: Transport) -> None:
        # Whatever it has to say that matters is raised.
        logging.getLogger("bumble").setLevel(logging.CRITICAL)
        self._transport = transport
        self._host = _Host(transport.source, transport.sink)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host.broken_down = self._lose
        transport.source.terminated.add_done_callback(self._ends)
        self.dialect: Dialect = Legacy()
        self.tx_power_range_dbm = (PLAUSIBLE_TX_DBM[0], PLAUSIBLE_TX_DBM[-1])

    @classmethod
    async def open(cls, opener: Opener, on_report: Callable[[Report], None]) -> Self:
        """Open the transport, reset the controller and learn what it can do; `on_report` is told of all it hears.

        Raises:
            Missing: nothing is there, or it does not answer as a controller.
        """
        link = cls(await opener())
        try:
            await link._begin()
        except BaseException:
            await link.close()
            raise
        link._host.on("advertising_report", on_report)
        return link

    def check(self) -> None:
        """Raise Missing once the controller is lost."""
        if self.lost.done():
            raise Missing(_GONE)

    async def send(self, commands: Sequence[Command]) -> None:
        """Send commands in order, each after the answer to the last; cancellation waits for the last answer.

        Raises:
            Missing: the controller refused one, does not answer, or is gone; the ones after it were not sent.
        """
        sending = asyncio.create_task(self._send_all(commands), name="hci commands")
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            # Half of a list is a state that nobody knows, and an answer that nobody awaits would be taken for the next.
            await asyncio.wait([sending])
            sending.exception()
            raise

    async def close(self) -> None:
        """Silence the controller as far as it still listens, and let go of it."""
        self._lose()
        try:
            # Asked even of a controller that has failed: it may yet be speaking.
            if not self._transport.source.terminated.done():
                with suppress(Missing):
                    await self._guarded(
                        self._host.send_sync_command(hci.HCI_Reset_Command()), "HCI_RESET_COMMAND", ANSWER_WITHIN_S
                    )
        finally:
            with suppress(OSError):
                await self._transport.close()

    async def _begin(self) -> None:
        await self._guarded(self._host.reset(), "HCI_RESET", READY_WITHIN_S)
        if self._host.supports_le_features(hci.LeFeatureMask.LE_EXTENDED_ADVERTISING):
            self.dialect = Extended()
        if self._host.supports_command(hci.HCI_LE_READ_TRANSMIT_POWER_COMMAND):
            powers = await self._ask(hci.HCI_LE_Read_Transmit_Power_Command())
            # bumble reads these two without their sign.
            self.tx_power_range_dbm = _plausible(_signed(powers.min_tx_power), _signed(powers.max_tx_power))
        elif not self.dialect.extended:
            # Never asked of the others: who once heard a legacy command refuses the extended ones (7.8.6, 3.1.1).
            power = await self._ask(hci.HCI_LE_Read_Advertising_Physical_Channel_Tx_Power_Command())
            self.tx_power_range_dbm = _plausible(power.tx_power_level, power.tx_power_level)

    async def _send_all(self, commands: Sequence[Command]) -> None:
        for command in commands:
            await self._ask(command)

    async def _ask(self, command: Command) -> Any:
        self.check()
        return await self._guarded(self._host.send_sync_command(command), command.name, ANSWER_WITHIN_S)

    async def _guarded(self, answer: Awaitable[_Answer], name: str, within_s: float) -> _Answer:
        """Wait for an answer, and turn all that can go wrong with it into Missing."""
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except hci.HCI_Error as error:
            reason = error.error_name
            raise Missing(
                f"the Bluetooth controller refused {name} ({reason}): unplug it and plug it in again"
            ) from error
        except TimeoutError as error:
            self._lose()
            raise Missing(f"the Bluetooth controller does not answer {name}: {_REPLUG}") from error
        except (BaseBumbleError, OSError, AssertionError, AttributeError, RuntimeError) as error:
            # Assertions are how bumble meets an answer of the wrong kind.
            self._lose()
            raise Missing(_GONE) from error

    def _ends(self, terminated: asyncio.Future[None]) -> None:
        if not terminated.cancelled():
            terminated.exception()
        self._lose()

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte  # noqa: PLR2004 - two's complement


def _plausible(least_dbm: int, most_dbm: int) -> tuple[int, int]:
    low, high = PLAUSIBLE_TX_DBM[0], PLAUSIBLE_TX_DBM[-1]
    return min(max(least_dbm, low), high), min(max(most_dbm, low), high)
