"""The tracer: named jobs that speak, listen, fetch and match, and forget, each of which outlives its faults."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.forgetting import forget
from forewarn_client.listening import ScanPlan, listen
from forewarn_client.radio import Radio
from forewarn_client.speaking import speak
from forewarn_client.timing import Timing
from forewarn_protocol.errors import ForewarnError
from forewarn_shell.clock import Clock

_log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]


class Daemon:
    """One device at work. `run` returns only by cancellation, or by an error that no later try can mend."""

    def __init__(self, settings: ClientSettings, clock: Clock, radio: Radio, timing: Timing) -> None:
        self._settings = settings
        self._clock = clock
        self._radio = radio
        self._timing = timing

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Open the device, start the radio, call `ready`, work until cancelled.

        Raises:
            ForewarnError: device or radio can't be opened.
            ExceptionGroup: a programming error ended a job; the others were stopped.
        """
        async with Device.open(self._settings, self._clock) as device:
            await self._radio.start()
            try:
                ready()
                await self._work(device)
            finally:
                await self._radio.close()

    async def _work(self, device: Device) -> None:
        timing, radio, plan = self._timing, self._radio, ScanPlan()
        jobs: dict[str, Job] = {
            "speak": lambda: speak(device, radio, timing, plan),
            "listen": lambda: listen(device, radio, timing, plan),
            "fetch-and-match": lambda: self._fetch_and_match(device),
            "forget": lambda: self._forget(device),
        }
        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(self._keep_going(device, name, job), name=f"forewarn-client {name}")

    async def _keep_going(self, device: Device, name: str, job: Job) -> None:
        clock = self._clock
        least_s, most_s = self._timing.back_off_s
        wait_s = least_s
        while True:
            # Devices that are switched on together don't all begin in the same instant; and a task that has slept on
            # a virtual clock is known to it.
            await clock.sleep_until(clock.monotonic() + self._timing.draw((0.0, min(1.0, least_s))))
            began_s = clock.monotonic()
            try:
                await job()
            except (ForewarnError, OSError) as error:
                if clock.monotonic() - began_s > most_s:
                    wait_s = least_s
                sentence = (
                    error.message if isinstance(error, ForewarnError) else f"{error.strerror or 'a system call failed'}"
                )
                _log.warning("%s: %s; trying again in %.0f s", name, sentence, wait_s)
                await device.status.note(f"job:{name}", sentence)
                await clock.sleep_until(clock.monotonic() + self._timing.draw((wait_s / 2, wait_s)))
                wait_s = min(2 * wait_s, most_s)

    async def _fetch_and_match(self, device: Device) -> None:
        from forewarn_client.fetching import fetch
        from forewarn_client.judging import judge

        clock, timing = self._clock, self._timing
        await clock.sleep_until(clock.monotonic() + timing.draw(timing.first_step_s))
        while True:
            await fetch(device)
            await judge(device)
            await clock.sleep_until(clock.monotonic() + timing.draw(timing.fetch_gap_s))

    async def _forget(self, device: Device) -> None:
        clock, timing = self._clock, self._timing
        await clock.sleep_until(clock.monotonic() + timing.draw(timing.first_step_s))
        while True:
            await forget(device)
            await clock.sleep_until(clock.monotonic() + timing.draw(timing.forget_gap_s))
