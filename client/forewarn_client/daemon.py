"""The tracer: named jobs that speak, listen, fetch, forget and cover each other, each of which outlives its faults."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from itertools import count
from typing import Any, Final, Never

from forewarn_client import damage
from forewarn_client.board import HOOK_TOLD
from forewarn_client.chaff import chaff
from forewarn_client.config import ClientSettings
from forewarn_client.daily import daily
from forewarn_client.device import Device
from forewarn_client.diary.database import Damaged
from forewarn_client.fetching import fetch
from forewarn_client.forgetting import forget
from forewarn_client.judging import judge
from forewarn_client.listening import ScanPlan, listen
from forewarn_client.mending import finish, is_lost, mend
from forewarn_client.page.listener import PageHost
from forewarn_client.pausing import Switch
from forewarn_client.presence import only_daemon
from forewarn_client.pulse import Pulse
from forewarn_client.radio import Radio, StackBroken
from forewarn_client.service_manager import ServiceManager, tell_condition
from forewarn_client.signals.showing import has_signals, show_condition
from forewarn_client.speaking import speak
from forewarn_client.starting_over import ErasureAsked, is_asked, start_over
from forewarn_client.telling.hook import run_hook
from forewarn_client.telling.state_socket import share_state
from forewarn_client.timing import Timing
from forewarn_protocol.errors import ForewarnError, Missing
from forewarn_protocol.intervals import interval_at
from forewarn_shell.clock import Clock
from forewarn_shell.files import clear_left_overs

_VERIFY_EACH_S: Final = 24 * 3600.0
_RADIO: Final = "radio"
_RADIO_JOBS: Final = frozenset({_RADIO, "speak", "listen"})

_log = logging.getLogger(__name__)

Job = Callable[[], AsyncGenerator[None, None]]
"""Starts a job: a generator that works for ever and yields whenever a step of it has succeeded."""


class Daemon:
    """One device at work. `run` ends only by cancellation, or by an error that no later try can mend."""

    def __init__(
        self,
        settings: ClientSettings,
        clock: Clock,
        radio: Radio,
        timing: Timing,
        manager: ServiceManager | None = None,
    ) -> None:
        self._settings = settings
        self._manager = manager or ServiceManager()
        self._pulse = Pulse(clock)
        self._clock: Clock = self._pulse
        self._radio = radio
        self._timing = timing
        self._switch = Switch()
        self._page = PageHost(settings)

    def look_again(self) -> None:
        """Look now whether the person has paused, gone on, or wants all erased; a signal's handler may call this."""
        self._switch.look_again()

    async def run(self, ready: Callable[[], None] = lambda: None) -> Never:
        """Open the device, start the radio, call `ready`, work until cancelled; a radio that is missing may come later.

        Raises:
            ForewarnError: the device can't be opened, another daemon has it, or the radio's stack is broken at first.
            ExceptionGroup: a programming error ended a job; the others were stopped.
        """
        with only_daemon(self._settings.data):
            try:
                await self._manager.watch_over(self._keep_working(ready), self._pulse)
            finally:
                await self._page.close()
        raise AssertionError("a job of the daemon returned")

    async def _keep_working(self, ready: Callable[[], None]) -> Never:
        data = self._settings.data
        finish(data)
        to_tell = [ready, self._manager.ready]
        is_damaged = is_lost(data)
        for attempt in count():
            if is_asked(data):
                await start_over(self._settings, self._clock)
            elif is_damaged:
                await self._mend(attempt)
            is_damaged = False
            try:
                await _in_a_task(self._open_and_work(to_tell))
            except* Damaged:
                is_damaged = True
            except* ErasureAsked:
                _log.info("the person erases the diary")
        raise AssertionError("a job of the daemon returned")

    async def _open_and_work(self, to_tell: list[Callable[[], None]]) -> None:
        async with Device.open(self._settings, self._clock) as device:
            try:
                with self._pulse.of("start"):
                    # A start that was killed may have left a second name of the device key.
                    await asyncio.to_thread(clear_left_overs, self._settings.data)
                    await device.status.clear_faults()
                    await self._take_radio(is_first=bool(to_tell))
                while to_tell:  # once, however often the diary is begun anew
                    to_tell.pop()()
                await self._work(device)
            finally:
                await self._radio.close()

    async def _take_radio(self, *, is_first: bool) -> None:
        try:
            await self._radio.start()
        except StackBroken:
            if is_first:
                raise  # whoever has just started it is there to mend it; later, it may be a restart that passes
        except Missing:
            pass  # it may come: who speaks and listens asks again, and says what is missing

    async def _mend(self, attempt: int) -> None:
        """Begin the diary anew; wait longer each time, for the disk itself may be what is failing."""
        with self._pulse.of("mend"):
            await self._begin_anew(attempt)

    async def _begin_anew(self, attempt: int) -> None:
        clock, (least_s, most_s) = self._clock, self._timing.back_off_s
        if attempt > 1:
            await clock.sleep_until(clock.monotonic() + min(least_s * 2.0 ** min(attempt, 30), most_s))
        kept = await asyncio.to_thread(mend, self._settings.data, clock.utc())
        _log.error("the diary was damaged: begun anew with the %d entries that could be read", kept)
        async with Device.open(self._settings, clock) as device:
            # What it spoke last may be among what was lost: other keys speak from here on.
            await device.database.write(device.keyring.retire_within, interval_at(clock.utc()))

    async def _work(self, device: Device) -> None:
        timing, radio, plan = self._timing, self._radio, ScanPlan()
        on_the_air: dict[str, Job] = {
            "speak": lambda: speak(device, radio, timing, plan),
            "listen": lambda: listen(device, radio, timing, plan),
        }
        jobs: dict[str, Job] = {
            _RADIO: lambda: self._switch.run(device, radio, lambda: self._do(device, on_the_air)),
            "fetch-and-match": lambda: _fetch_and_match(device, timing),
            "forget": lambda: _forget(device, timing),
            "verify": lambda: _verify(device),
            "chaff": lambda: chaff(device, timing),
            "daily": lambda: daily(device, timing),
        }
        if has_signals(device.settings):
            jobs["signals"] = lambda: show_condition(device)
        if (path := device.settings.state_socket) is not None:
            jobs["state-socket"] = lambda: share_state(device, path)
        if device.settings.hook:
            jobs["hook"] = lambda: run_hook(device)
        else:
            await device.status.note(HOOK_TOLD, None)  # nothing of an alert is kept for a program that is gone
        if self._manager.listens:
            jobs["tell"] = lambda: tell_condition(device, self._manager)
        if self._settings.page_port:
            jobs["page"] = self._page.offer
        await self._do(device, jobs)

    async def _do(self, device: Device, jobs: dict[str, Job]) -> None:
        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(self._keep_going(device, name, job), name=f"forewarn-client {name}")

    async def _keep_going(self, device: Device, name: str, job: Job) -> None:
        """Run a job for ever; after a fault, say so in the status, wait, longer each time, and begin it anew."""
        with self._pulse.of(name):
            await self._begin_again(device, name, job)

    async def _begin_again(self, device: Device, name: str, job: Job) -> None:
        clock = self._clock
        timing = self._timing
        least_s, most_s = timing.radio_back_off_s if name in _RADIO_JOBS else timing.back_off_s
        wait_s, faulty = least_s, False
        # Devices that are switched on together don't all begin in the same instant.
        if name != _RADIO:  # whose own jobs do
            await clock.sleep_until(clock.monotonic() + timing.draw((0.0, 1.0)))
        while True:
            try:
                async with aclosing(job()) as steps:
                    async for _ in steps:
                        if faulty:
                            await device.status.note_fault(name, None)
                            wait_s, faulty = least_s, False
            except Damaged:
                raise  # no waiting mends it: the daemon begins the diary anew
            except (ForewarnError, OSError) as error:
                await self._say(device, name, error, wait_s)
                faulty = True
                await clock.sleep_until(clock.monotonic() + timing.draw((wait_s / 2, wait_s)))
                wait_s = min(2 * wait_s, most_s)

    async def _say(self, device: Device, name: str, error: ForewarnError | OSError, wait_s: float) -> None:
        sentence = error.message if isinstance(error, ForewarnError) else error.strerror or "the system refused"
        _log.warning("%s: %s; trying again within %.0f s", name, sentence, wait_s)
        # The diary itself may be what is failing: then the log alone knows.
        with suppress(ForewarnError):
            await device.status.note_fault(name, sentence)


async def _in_a_task(work: Coroutine[Any, Any, None]) -> None:
    """Do a work in a task of its own.

    A TaskGroup that ends by an error drops the cancellation that comes meanwhile, and Python 3.11 leaves a task that
    owned one marked as being cancelled: neither may befall the task that a SIGTERM cancels.
    """
    task = asyncio.create_task(work, name="forewarn-client at work")
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()  # which a task that is done passes over
        await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
    if error is not None:
        raise error


async def _fetch_and_match(device: Device, timing: Timing) -> AsyncGenerator[None, None]:
    clock = device.clock
    await clock.sleep_until(clock.monotonic() + timing.draw(timing.first_step_s))
    while True:
        try:
            await fetch(device)
        except ForewarnError:
            await judge(device)  # the files that were done before the fault may hold what the person must know today
            raise
        await judge(device)
        yield
        await clock.sleep_until(clock.monotonic() + timing.draw(timing.fetch_gap_s))


async def _forget(device: Device, timing: Timing) -> AsyncGenerator[None, None]:
    clock = device.clock
    await clock.sleep_until(clock.monotonic() + timing.draw(timing.first_step_s))
    while True:
        await forget(device)
        yield
        await clock.sleep_until(clock.monotonic() + timing.draw(timing.forget_gap_s))


async def _verify(device: Device) -> AsyncGenerator[None, None]:
    """Look for damage, first of all and then daily: nobody may read for weeks what it hit."""
    while True:
        await device.database.verify()
        await damage.remember(device)
        yield
        await device.clock.sleep_until(device.clock.monotonic() + _VERIFY_EACH_S)
