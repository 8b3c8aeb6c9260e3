import time

import pytest

from forewarn_shell.clock import Clock, SystemClock


async def test_the_system_clock_sleeps_until_its_own_deadline() -> None:
    clock: Clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep_until(start + 0.02)
    assert clock.monotonic() >= start + 0.02
    await clock.sleep_until(start)
    assert abs(clock.utc() - time.time()) < 5


def test_the_system_clock_counts_suspends_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Clock = SystemClock()
    suspended_s = clock.suspended_s()
    assert clock.suspended_s() == pytest.approx(suspended_s, abs=0.5), "an awake machine"
    awake = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: awake() - 3600)  # a machine that was suspended for an hour
    assert clock.suspended_s() == pytest.approx(suspended_s + 3600, abs=0.5)
