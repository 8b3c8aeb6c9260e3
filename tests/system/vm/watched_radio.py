"""A radio with a witness: notes each scan window and what was heard in it, in the machine's own monotonic time."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from forewarn_client.radio import AdvertisingReport, Capabilities, Radio
from forewarn_protocol.advertisement import Payload


class WatchedRadio:
    """Hands everything on, and writes one line of JSON for each window."""

    def __init__(self, radio: Radio, notes: Path) -> None:
        self._radio = radio
        self._notes = notes

    async def start(self) -> Capabilities:
        return await self._radio.start()

    async def advertise(self, payload: Payload) -> None:
        await self._radio.advertise(payload)

    async def stay_on_air(self, until_s: float) -> None:
        await self._radio.stay_on_air(until_s)

    async def stop_advertising(self) -> None:
        await self._radio.stop_advertising()

    async def scan(self, window_s: float) -> AsyncGenerator[AdvertisingReport, None]:
        opened_s, heard = time.monotonic(), []
        async with aclosing(self._radio.scan(window_s)) as reports:
            async for report in reports:
                heard.append((report.monotonic_s, report.service_data.hex(), report.rssi_dbm))
                yield report
        window = {"opened_s": opened_s, "closed_s": opened_s + window_s, "heard": heard}
        with self._notes.open("a") as notes:
            notes.write(json.dumps(window) + "\n")

    async def close(self) -> None:
        await self._radio.close()
