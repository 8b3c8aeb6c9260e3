import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forewarn_client import board
from forewarn_client.condition import State, condition_of
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.radio.loopback import Air, EmptyRoom, LoopbackRadio
from forewarn_client.signals.rhythms import RHYTHMS
from forewarn_client.status import look
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadSettings
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.signals.led_tree import choose, make_led, written

HOUR_S = 3600.0


class Radio(LoopbackRadio):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(Air(clock, EmptyRoom()), "a", Timing())


@pytest.fixture(autouse=True)
def _in_vietnam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC-7")  # POSIX counts west of Greenwich
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def led(tmp_path: Path) -> Path:
    made = make_led(tmp_path / "leds" / "ACT")
    choose(made, "pattern")  # as the site's rule for udev has done
    return made


@pytest.fixture
def buzzer(tmp_path: Path) -> Path:
    return make_led(tmp_path / "leds" / "buzzer")


def shown(led: Path) -> State | None:
    """Return which state the light tells; None: dark."""
    pattern = written(led, "pattern")
    return next(
        (state for state in (State.RUNNING, State.STALE, State.CALL) if pattern == RHYTHMS[state].pattern(1)), None
    )


@asynccontextmanager
async def at_work(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[Device]:
    """Let a daemon work, with a device open beside it."""
    task = asyncio.create_task(Daemon(settings, clock, Radio(clock), Timing()).run())
    await clock.run_for(60)
    try:
        async with Device.open(settings, clock) as device:
            yield device
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_light_follows_the_condition_and_is_dark_when_the_daemon_stops(
    tmp_path: Path, clock: VirtualClock, led: Path
) -> None:
    settings = ClientSettings(data=tmp_path / "data", led=str(led))
    async with at_work(settings, clock) as device:
        assert shown(led) is State.STALE  # nothing was matched yet
        await device.status.note(board.LAST_MATCH, clock.utc())
        await device.status.note_fault("fetch-and-match", None)
        await clock.run_for(300)
        assert condition_of(await look(device)).state is State.STALE  # without a server it says so
        await device.status.note_fault("listen", "the adapter is gone")
        await clock.run_for(3600)
        assert shown(led) is State.CALL
    assert shown(led) is None
    assert set((written(led, "pattern") or "").split()[::2]) == {"0"}


@pytest.mark.parametrize("harm", ["no LED", "no rights", "no trigger"])
async def test_a_light_that_fails_is_told_and_harms_no_other_job(
    tmp_path: Path, clock: VirtualClock, led: Path, harm: str
) -> None:
    if harm == "no LED":
        led = tmp_path / "nowhere"
    elif harm == "no rights":
        (led / "pattern").mkdir()
    else:
        (led / "trigger").write_text("[none]\n")
    settings = ClientSettings(data=tmp_path / "data", led=str(led))
    async with at_work(settings, clock) as device:
        await clock.run_for(HOUR_S)
        found = await look(device)
        assert "LED" in found.faults["signals"]
        assert found.last_scan_s is not None
        assert found.faults.keys() == {"signals", "fetch-and-match"}


async def beeps(
    settings: ClientSettings, clock: VirtualClock, buzzer: Path, hours: float, fault: str | None = None
) -> list[float]:
    """Let a daemon work and return at which hours of the virtual clock it beeped."""
    heard = []
    async with at_work(settings, clock) as device:
        if fault:
            await device.status.note_fault("listen", fault)
        for _ in range(int(hours * 12)):
            (buzzer / "pattern").unlink(missing_ok=True)
            await clock.run_for(300)
            if written(buzzer, "pattern"):
                heard.append(clock.monotonic() / HOUR_S)
    return heard


async def test_the_buzzer_is_short_spares_the_quiet_hours_and_comes_back_once_a_day(
    tmp_path: Path, clock: VirtualClock, buzzer: Path
) -> None:
    settings = ClientSettings(data=tmp_path / "data", buzzer=str(buzzer), quiet_hours="19-7")
    # Noon in UTC is 19 h in Vietnam: it waits until 7 h, 12 hours later.
    first, *rest = await beeps(settings, clock, buzzer, 40, "the adapter is gone")
    assert 12 <= first < 12.2
    assert [round(at - first) for at in rest] == [24]
    assert await beeps(settings, clock, buzzer, 2) == [], "a restart says nothing twice"


async def test_without_quiet_hours_the_buzzer_sounds_when_the_message_comes(
    tmp_path: Path, clock: VirtualClock, buzzer: Path
) -> None:
    """Positive control for the quiet hours."""
    settings = ClientSettings(data=tmp_path / "data", buzzer=str(buzzer), quiet_hours="0-0")
    heard = await beeps(settings, clock, buzzer, 3, "the adapter is gone")
    assert len(heard) == 1
    assert heard[0] < 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"led": "../../etc"}, "led"),
        ({"led": "ACT;x"}, "led"),
        ({"led": "leds/ACT"}, "led"),
        ({"buzzer": True}, "buzzer"),
        ({"quiet_hours": "21:00-7:00"}, "from-to"),
        ({"quiet_hours": "24-7"}, "quiet_hours"),
        ({"led_alert": "loud"}, "discreet"),
    ],
)
def test_a_wrong_setting_of_the_signals_is_refused(tmp_path: Path, given: dict[str, object], says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        ClientSettings.load(data=tmp_path, **given)


def test_noon_of_these_tests_is_the_evening_of_their_wearer() -> None:
    assert time.localtime(NOON_S).tm_hour == 19
