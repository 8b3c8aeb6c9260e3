"""A Bluetooth controller spoken to directly, without the system's Bluetooth: exact bytes, intervals and addresses."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

from forewarn_client.radio import REAL_RSSI_DBM, AdvertisingReport, Capabilities
from forewarn_client.radio.addresses import draw_address
from forewarn_client.radio.hci_commands import Command, own_address
from forewarn_client.radio.hci_link import HciLink, Opener, Report
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import EXPOSURE_NOTIFICATION_UUID, Payload, decode, encode
from forewarn_protocol.errors import BadAdvertisement, Missing
from forewarn_shell.clock import Clock

_MOST_WAITING: Final = 4096
"""Reports between two turns of their reader; a flood beyond is lost rather than kept."""


class HciRadio:
    """A radio on one controller, extended or legacy.

    After any fault the controller is let go of with nothing on the air; `start` takes hold of it anew.
    """

    def __init__(
        self, opener: Opener, clock: Clock, timing: Timing, *, service_uuid: int = EXPOSURE_NOTIFICATION_UUID
    ) -> None:
        self._opener = opener
        self._clock = clock
        self._timing = timing
        self._service_uuid = service_uuid
        # Over advertising and scanning: on a legacy controller neither may be begun while the other's address changes.
        self._lock = asyncio.Lock()
        self._link: HciLink | None = None
        self._on_air = False
        self._heard: asyncio.Queue[AdvertisingReport | None] | None = None

    async def start(self) -> Capabilities:
        """Take hold of the controller, or of nothing when it is held already."""
        async with self._lock:
            link = self._link
            if link is None or link.lost.done():
                await self._let_go()
                link = self._link = await HciLink.open(self._opener, self._on_report)
                # Nothing is sent under it; without it, a controller would have to scan under its lasting address.
                await self._say(link, [own_address(draw_address(self._timing.random))])
            return Capabilities(
                extended_advertising=link.dialect.extended,
                every_rssi_sample=True,
                flags_settable=True,
                tx_power_range_dbm=link.tx_power_range_dbm,
            )

    async def advertise(self, payload: Payload) -> None:
        """Speak a payload under a new address; what is on the air is stopped first, and a pause follows.

        A legacy controller's scan stands still meanwhile: it refuses a new address while one runs.
        """
        advertisement = encode(payload, service_uuid=self._service_uuid)
        async with self._lock:
            link = self._held()
            pauses_scan = self._heard is not None and not link.dialect.extended
            try:
                stop = link.dialect.stop_hearing() if pauses_scan else []
                await self._say(link, [*stop, *link.dialect.silence()])
                await self._speak(link, advertisement)
            finally:
                if pauses_scan and not link.lost.done():
                    await self._say(link, link.dialect.hear())

    async def stay_on_air(self, until_s: float) -> None:
        """Wait; a controller that is lost ends the wait."""
        link = self._held()
        sleep = asyncio.create_task(self._clock.sleep_until(until_s), name="hci stay on air")
        try:
            await asyncio.wait([sleep, link.lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            await asyncio.wait([sleep])
        link.check()

    async def stop_advertising(self) -> None:
        """End what is on the air."""
        async with self._lock:
            link = self._link
            if link is None or link.lost.done():
                await self._let_go()  # by a reset: what is not to be relied upon may yet be speaking
                return
            await self._say(link, link.dialect.silence())
            self._on_air = False

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        """Yield every sample as it comes, no duplicate left out.

        Raises:
            Missing: the controller was lost before the window's end, or is not held.
        """
        heard: asyncio.Queue[AdvertisingReport | None] = asyncio.Queue(_MOST_WAITING)
        try:
            async with self._lock:
                link = self._held()
                closes_s = self._clock.monotonic() + window_s
                self._heard = heard
                await self._say(link, link.dialect.hear())
            closing = asyncio.create_task(self._close_window(heard, closes_s), name="hci scan window")
            try:
                while (report := await heard.get()) is not None:
                    if report.monotonic_s < closes_s:
                        yield report
                link.check()
            finally:
                closing.cancel()
                await asyncio.wait([closing])
        finally:
            await self._stop_scan(heard)

    async def close(self) -> None:
        """Fall silent and let go of the controller."""
        async with self._lock:
            await self._let_go()

    async def _speak(self, link: HciLink, advertisement: bytes) -> None:
        if self._on_air:
            self._on_air = False
            await self._clock.sleep_until(self._clock.monotonic() + self._timing.draw(self._timing.rotation_pause_s))
        interval_s = self._timing.draw(self._timing.advertise_interval_s)
        self._on_air = True
        await self._say(link, link.dialect.speak(self._new_address(), advertisement, interval_s))

    async def _close_window(self, heard: asyncio.Queue[AdvertisingReport | None], closes_s: float) -> None:
        with suppress(Missing):  # the reader finds the link lost, too
            await self.stay_on_air(closes_s)
        await heard.put(None)

    async def _stop_scan(self, heard: asyncio.Queue[AdvertisingReport | None]) -> None:
        async with self._lock:
            if self._heard is not heard:
                return  # it never began
            self._heard = None
            if self._link is not None and not self._link.lost.done():
                await self._say(self._link, self._link.dialect.stop_hearing())

    async def _say(self, link: HciLink, commands: Sequence[Command]) -> None:
        """Send commands; when one fails, nobody knows what is on the air, and only a reset ends it for sure."""
        try:
            await link.send(commands)
        except Missing:
            await self._let_go()
            raise

    def _on_report(self, report: Report) -> None:
        if self._heard is None or report.rssi not in REAL_RSSI_DBM:
            return
        try:
            service_data = decode(report.data, service_uuid=self._service_uuid).service_data
        except BadAdvertisement:
            return  # another service's, or nobody's
        address = bytes(report.address)[::-1]
        with suppress(asyncio.QueueFull):
            self._heard.put_nowait(AdvertisingReport(self._clock.monotonic(), address, report.rssi, service_data))

    async def _let_go(self) -> None:
        if self._link is not None:
            await self._link.close()
            self._link, self._on_air = None, False

    def _held(self) -> HciLink:
        if self._link is None:
            raise Missing("the Bluetooth controller is not held: start the radio first")
        self._link.check()
        return self._link

    def _new_address(self) -> bytes:
        return draw_address(self._timing.random)
