import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from forewarn_client import pulse as pulse_module
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.pulse import Pulse
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_simulations.clocks import ScaledClock
from tests.client.conftest import NOON_S
from tests.client.test_daemon import Near
from tests.server.hand_clock import HandClock


class Sleepy(HandClock):
    """A machine that can be suspended."""

    slept_s = 0.0

    def suspended_s(self) -> float:
        return self.slept_s

    def suspend(self, seconds: float) -> None:
        self.slept_s += seconds
        self.advance(seconds)


async def begun(pulse: Pulse, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
    async def job() -> None:
        with pulse.of(name):
            await work()

    task = asyncio.create_task(job())
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("name", "longest_s"), [("listen", 600), ("fetch-and-match", 7200)])
async def test_a_job_that_waits_for_something_else_than_the_clock_is_stuck_after_its_longest_step(
    name: str, longest_s: int
) -> None:
    clock = Sleepy()
    pulse = Pulse(clock)
    task = await begun(pulse, name, asyncio.Event().wait)
    clock.advance(longest_s - 1)
    assert pulse.stuck() == []
    clock.advance(2)
    assert pulse.stuck() == [name]
    await ended(task)
    assert pulse.stuck() == [], "what has ended is not waited for"


async def test_a_job_that_sleeps_on_the_clock_is_stuck_only_if_it_does_not_wake() -> None:
    clock = Sleepy()
    pulse = Pulse(clock)
    task = await begun(pulse, "forget", lambda: pulse.sleep_until(clock.monotonic() + 4000))
    clock.now_s += 4000 + 599  # without waking anybody: a loop that has lost its timers
    assert pulse.stuck() == []
    clock.now_s += 2
    assert pulse.stuck() == ["forget"]
    await ended(task)


async def test_a_job_that_asks_for_the_time_now_and_then_gets_on_however_long_it_works() -> None:
    clock = Sleepy()
    pulse = Pulse(clock)
    turns = asyncio.Semaphore(0)

    async def download() -> None:
        while True:
            await turns.acquire()
            pulse.utc()

    task = await begun(pulse, "verify", download)
    for _ in range(10):
        clock.advance(500)
        turns.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert pulse.stuck() == []
    clock.advance(700)
    assert pulse.stuck() == ["verify"]
    await ended(task)


async def test_what_a_job_starts_sleeps_in_its_name() -> None:
    clock = Sleepy()
    pulse = Pulse(clock)

    async def wait() -> None:
        await asyncio.create_task(pulse.sleep_until(clock.monotonic() + 50_000))

    task = await begun(pulse, "radio", wait)
    clock.advance(40_000)
    assert pulse.stuck() == []
    await ended(task)


async def test_hours_of_suspend_make_nobody_late() -> None:
    clock = Sleepy()
    pulse = Pulse(clock)
    task = await begun(pulse, "listen", asyncio.Event().wait)
    clock.suspend(5 * 3600)
    assert pulse.stuck() == []
    clock.advance(601)
    assert pulse.stuck() == ["listen"]
    await ended(task)


async def stuck_after_thirty_hours_alone(folder: Path, port: int) -> list[str]:
    settings = ClientSettings(data=folder / "data", page_port=port, state_socket=folder / "state", hook=("/bin/true",))
    clock, timing = ScaledClock(NOON_S, factor=40_000.0), Timing(random=Random(1))
    daemon = Daemon(settings, clock, LoopbackRadio(Air(clock, Near()), "a", timing), timing)
    task = asyncio.create_task(daemon.run())
    while clock.monotonic() < 30 * 3600:
        await asyncio.sleep(0.1)
        assert not task.done(), task.result()
    assert len(daemon._pulse._due_s) >= 10
    stuck = daemon._pulse.stuck()
    task.cancel()
    await asyncio.wait([task])
    return stuck


async def test_no_job_of_a_daemon_is_stuck_because_nobody_wants_anything_of_it(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that nobody opens, a state that nobody reads: a watchdog must not restart a daemon for that."""
    monkeypatch.setattr(pulse_module, "_LONGEST_STEP_S", 10 * 3600.0)  # of a busy machine, in time that runs so fast
    assert await stuck_after_thirty_hours_alone(tmp_path, unused_tcp_port) == []


async def test_without_that_exception_the_page_would_be_stuck(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control."""
    monkeypatch.setattr(pulse_module, "_LONGEST_STEP_S", 10 * 3600.0)
    monkeypatch.setattr(pulse_module, "_LONGER", {})
    assert await stuck_after_thirty_hours_alone(tmp_path, unused_tcp_port) == ["page"]
