"""What systemd is told: that the daemon works, how it is, that its jobs get on, that it stops (sd_notify(3)).

Where no service manager listens, nothing is told and nothing runs.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final, Self

from forewarn_client.condition import Reason, condition_of
from forewarn_client.device import Device
from forewarn_client.pulse import Pulse
from forewarn_client.status import glance

_LOOK_EACH_S: Final = 30.0
_SAY_HOW_LONG_EACH_S: Final = 900.0
"""A fault that lasts is no news each minute."""
_LONGEST_SILENCE_S: Final = 20.0
_MORE_TIME_US: Final = 60_000_000
"""systemd's own patience with a start is 90 s."""

_log = logging.getLogger(__name__)


class ServiceManager:
    """The socket of the service manager, if there is one.

    `watchdog_s`: it restarts whoever is silent for so long; None: it does not.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._is_ready = self._owes_ready = False
        self._is_heard = True

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read where it listens, and how often it wants a sign of life from this process."""
        microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
        is_watched = microseconds.isdecimal() and int(microseconds) > 0 and process in {None, str(os.getpid())}
        return cls(environment.get("NOTIFY_SOCKET"), int(microseconds) / 1e6 if is_watched else None)

    @property
    def listens(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def tell(self, **said: str | int) -> bool:
        """Send one message of assignments; return whether it was taken: a manager that is busy is not waited for."""
        if not self._address:
            return False
        message = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in said.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(0)
                way.sendto(message.encode(), self._address)
        except OSError as error:
            if self._is_heard:
                _log.warning("the service manager can't be told: %s", error.strerror)
            self._is_heard = False
        else:
            self._is_heard = True
        return self._is_heard

    def ready(self) -> None:
        """Say that the daemon works."""
        self._is_ready = True
        self._owes_ready = not self.tell(READY=1)

    async def watch_over(self, work: Coroutine[Any, Any, None], pulse: Pulse) -> None:
        """Do the daemon's work, give signs of life meanwhile, and say at its end that the daemon stops."""
        if not self.listens:
            await work
            return
        watching = asyncio.create_task(self._watch(pulse), name="forewarn-client watchdog")
        try:
            # A task of its own, so that neither of the two waits for the other; cancelled, it ends before this one.
            await asyncio.create_task(work, name="forewarn-client")
        finally:
            self.tell(STOPPING=1)
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, pulse: Pulse) -> None:
        each_s = min(_LONGEST_SILENCE_S, inf if self.watchdog_s is None else self.watchdog_s / 2)
        told = list[str]()
        while True:
            stuck = pulse.stuck()
            if stuck and stuck != told:
                # Silence is the word for it: the service manager then ends this process and starts another.
                _log.error("%s: no progress for too long", ", ".join(stuck))
                self.tell(STATUS=f"stuck: {', '.join(stuck)}")
            told = stuck
            if not stuck:
                if self.watchdog_s is not None:
                    self.tell(WATCHDOG=1)
                if not self._is_ready:  # a damaged diary is begun anew before anything works
                    self.tell(EXTEND_TIMEOUT_USEC=_MORE_TIME_US)
                elif self._owes_ready:
                    self.ready()
            await pulse.sleep_until(pulse.monotonic() + each_s)


async def tell_condition(device: Device, manager: ServiceManager) -> AsyncGenerator[None, None]:
    """Tell the device's condition in a line for ever: what is new within half a minute, how long it lasts at times."""
    clock = device.clock
    known: tuple[Reason, ...] | None = None
    said, told_s = "", -inf
    while True:
        condition, now_s = condition_of(await glance(device)), clock.monotonic()
        reasons = tuple(replace(reason, lasts_s=0.0) for reason in condition.reasons)
        sentence = condition.sentence(device.settings.language)
        is_due = reasons != known or now_s - told_s >= _SAY_HOW_LONG_EACH_S
        if is_due and sentence != said and manager.tell(STATUS=sentence):
            known, said, told_s = reasons, sentence, now_s
        yield
        await clock.sleep_until(now_s + _LOOK_EACH_S)
