from datetime import date

import pytest

from forewarn_client import board
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.presence import only_daemon
from forewarn_client.status import ALERT_IS_ACTIVE, CANNOT_KNOW, NOTHING_TO_DO, Status, look
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S

HOUR_S = 3600


def status(**known: object) -> Status:
    return Status(now_s=NOON_S, running=True, **known)  # type: ignore[arg-type]  # each test names real fields


@pytest.mark.parametrize(
    ("last_match_s", "alerts", "code"),
    [
        (NOON_S, [], NOTHING_TO_DO),
        (NOON_S - 24 * HOUR_S, [], NOTHING_TO_DO),
        (NOON_S - 24 * HOUR_S - 1, [], CANNOT_KNOW),
        (None, [], CANNOT_KNOW),
        (NOON_S + 25 * HOUR_S, [], CANNOT_KNOW),  # the clock was set back since
        (NOON_S, [{}], ALERT_IS_ACTIVE),
        (None, [{}], ALERT_IS_ACTIVE),
    ],
)
def test_check_is_0_when_all_is_well_4_with_an_alert_and_3_when_it_cannot_know(
    last_match_s: float | None, alerts: list[dict[str, object]], code: int
) -> None:
    assert status(last_match_s=last_match_s, alerts=alerts).check == code


def test_check_says_what_to_do() -> None:
    assert "nothing to do" in status(last_match_s=NOON_S).check_text
    assert "nothing was matched yet" in status().check_text
    assert "over 24 h old" in status(last_match_s=0).check_text
    assert "start the daemon" in Status(now_s=NOON_S, running=False).check_text
    assert status(alerts=[{}], alert_lines=["You may", "- Call"]).check_text == "You may\n- Call"


async def test_what_the_jobs_noted_is_shown(device: Device, clock: VirtualClock) -> None:
    await device.status.note(board.LAST_SCAN, NOON_S - 150)
    await device.status.note(board.LAST_DOWNLOAD, NOON_S - 3 * HOUR_S)
    await device.status.note(board.CLOCK_OFFSET, -600.0)
    await device.status.note(board.FORGETTING_OVERDUE_SINCE, NOON_S - HOUR_S)
    await device.status.note(board.FAULT_PREFIX + "listen", "the adapter is gone: plug it in")
    for day in (0, -1, -30):
        await device.diary.record(ScanWindow(NOON_S - 150 + day * 86_400, None, {bytes([1] * 20): [(0, -50)]}))
    await device.status.note(board.LAST_SCAN, NOON_S - 150)
    with only_daemon(device.settings.data):
        found = await look(device)
    assert found.as_json() == {
        "running": True,
        "paused": False,
        "paused_until": None,
        "silent": False,
        "faults": {"listen": "the adapter is gone: plug it in"},
        "last_scan": "2025-06-16T11:57:30Z",
        "last_download": "2025-06-16T09:00:00Z",
        "last_match": None,
        "encounters": {"2025-06-15": 1, "2025-06-16": 1},
        "damaged_entries": 0,
        "mended": None,
        "disk_is_full": False,
        "strange_sightings": {},
        "clock_offset_s": -600.0,
        "forgetting_overdue_since": "2025-06-16T11:00:00Z",
        "erasures": [],
        "alerts": [],
        "withdrawn": [],
        "check": CANNOT_KNOW,
    }
    lines = dict(line.strip().split("  ", 1) for line in found.as_text().splitlines())
    shown = {name.strip(): value.strip() for name, value in lines.items()}
    assert shown["daemon"] == "running"
    assert shown["listen"] == "the adapter is gone: plug it in"
    assert shown["last scan"] == "2025-06-16T11:57:30Z (2 min ago)"
    assert shown["last download"] == "2025-06-16T09:00:00Z (3 h 0 min ago)"
    assert shown["last match"] == "never"
    assert shown["clock"].startswith("10 min ahead of the server's")
    assert shown["forgetting"].startswith("overdue since 2025-06-16T11:00:00Z")
    assert shown["2025-06-15"] == "1"
    assert clock.utc() == NOON_S


def test_a_status_reads_well_whatever_it_holds() -> None:
    assert "not running: start it with 'run'" in Status(now_s=NOON_S, running=False).as_text()
    assert "in the future" in status(last_scan_s=NOON_S + HOUR_S).as_text()
    assert "agrees with the server's" in status(clock_offset_s=30.0).as_text()
    assert "8 min behind the server's" in status(clock_offset_s=480.0).as_text()
    with_alert = status(alerts=[{}], alert_lines=["You may have been exposed"], encounters={date(2025, 6, 16): 3})
    assert "see below" in with_alert.as_text()
    assert with_alert.as_text().endswith("You may have been exposed")


def test_damage_is_told_with_a_remedy_and_only_where_there_is_some() -> None:
    assert "damaged" not in status().as_text()
    assert "1 entry of the diary can no longer be read" in status(damaged_entries=1).as_text()
    assert "3 entries of the diary can no longer be read" in status(damaged_entries=3).as_text()
    assert "'erase' starts anew" in status(damaged_entries=3).as_text()


async def test_a_note_of_nothing_removes_and_a_note_too_soon_is_dropped(device: Device, clock: VirtualClock) -> None:
    await device.status.note("a", 1.0, at_most_every_s=60)
    clock.jump(-10)
    await device.status.note("a", 2.0, at_most_every_s=60)
    assert await device.status.read() == {"a": 1.0}
    await clock.run_for(60)
    await device.status.note("a", 3.0, at_most_every_s=60)
    assert await device.status.read() == {"a": 3.0}
    await device.status.note("a", None)
    assert await device.status.read() == {}
