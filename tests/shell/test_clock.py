import time

from forewarn_shell.clock import Clock, SystemClock


async def test_the_system_clock_sleeps_until_its_own_deadline() -> None:
    clock: Clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep_until(start + 0.02)
    assert clock.monotonic() >= start + 0.02
    await clock.sleep_until(start)
    assert abs(clock.utc() - time.time()) < 5
