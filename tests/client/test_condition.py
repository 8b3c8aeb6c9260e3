import itertools
from collections.abc import Mapping

import pytest

from forewarn_client import board
from forewarn_client.condition import (
    CLOCK_NEEDS_HELP_AFTER_S,
    FORGETTING_NEEDS_HELP_AFTER_S,
    MENDING_IS_NEWS_FOR_S,
    RADIO_NEEDS_HELP_AFTER_S,
    State,
    condition_of,
)
from forewarn_client.device import Device
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.presence import only_daemon
from forewarn_client.status import ALERT_IS_ACTIVE, CANNOT_KNOW, NOTHING_TO_DO, Status, look
from forewarn_protocol.advice import LANGUAGES
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
GONE = "the adapter is gone: plug it in"

WELL: Mapping[str, object] = {
    "now_s": NOON_S,
    "running": True,
    "last_scan_s": NOON_S - 150,
    "last_match_s": NOON_S - HOUR_S,
}


def status(**known: object) -> Status:
    return Status(**{**WELL, **known})  # type: ignore[arg-type]  # each test names real fields


def fault(job: str, sentence: str, lasts_s: float) -> dict[str, object]:
    return {"faults": {job: sentence}, "faults_since_s": {job: NOON_S - lasts_s}}


def test_a_device_that_does_all_its_work_is_running() -> None:
    well = condition_of(status())
    assert well.state is State.RUNNING
    assert well.sentence("en") == "Running: all is well, nothing to do"


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"last_match_s": None}, "nothing was matched"),
        ({"last_match_s": NOON_S - 25 * HOUR_S}, "the last match was 25 h ago"),
        ({"last_match_s": NOON_S + 25 * HOUR_S}, "in the future"),
        (fault("fetch-and-match", "it cannot be reached", 60), "the server: it cannot be reached"),
        (fault("fetch-and-match", "it cannot be reached", 30 * DAY_S), "the server: it cannot be reached"),
        (fault("server", "its index has expired", 60), "its index has expired"),
        (fault("clock", "nobody knows", CLOCK_NEEDS_HELP_AFTER_S - 1), "connect to the network"),
        (fault("listen", GONE, RADIO_NEEDS_HELP_AFTER_S - 1), GONE),
        (fault("speak", GONE, 60), GONE),
        (fault("chaff", "it cannot be reached", 60), "chaff: it cannot be reached"),
        ({"last_scan_s": NOON_S - 2 * HOUR_S}, "no Bluetooth scan for 2 h"),
        (
            {"forgetting_overdue_since_s": NOON_S - 30 * DAY_S, "clock_is_sure": False},
            "waits until the clock is sure",
        ),
        ({"forgetting_overdue_since_s": NOON_S - HOUR_S}, "still there"),
        ({"paused_until_s": UNTIL_RESUMED, "last_scan_s": NOON_S - DAY_S}, "paused as you wished"),
        ({"paused_until_s": NOON_S + HOUR_S, **fault("listen", GONE, DAY_S)}, "for 60 min more"),
    ],
)
def test_what_mends_itself_is_stale_and_says_why(known: dict[str, object], says: str) -> None:
    found = condition_of(status(**known))
    assert found.state is State.STALE
    assert says in found.sentence("en")


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"running": False}, "not running"),
        ({"disk_is_full": True}, "free some space"),
        ({"damaged_entries": 1}, "replace the card"),
        ({"mended_s": NOON_S - HOUR_S}, "begun anew"),
        (fault("listen", GONE, RADIO_NEEDS_HELP_AFTER_S), f"Bluetooth has not worked for 30 min ({GONE})"),
        (fault("clock", "nobody knows", CLOCK_NEEDS_HELP_AFTER_S), "in doubt for 24 h"),
        ({"forgetting_overdue_since_s": NOON_S - FORGETTING_NEEDS_HELP_AFTER_S}, "close other programs"),
    ],
)
def test_what_a_person_must_mend_calls_for_help_and_says_how(known: dict[str, object], says: str) -> None:
    found = condition_of(status(**known))
    assert found.state is State.CALL
    assert says in found.sentence("en")


def test_a_diary_that_was_mended_is_news_for_a_day() -> None:
    assert condition_of(status(mended_s=NOON_S - MENDING_IS_NEWS_FOR_S - 1)).state is State.RUNNING


def test_an_alert_goes_before_a_dead_radio_and_both_are_named() -> None:
    found = condition_of(status(alerts=[{}], last_match_s=None, **fault("listen", GONE, HOUR_S)))
    assert found.state is State.ALERT
    assert [reason.state for reason in found.reasons] == [State.ALERT, State.CALL, State.STALE]
    assert found.sentence("en").startswith("Alert: you may have been exposed")
    assert GONE in found.sentence("en")


def test_help_that_is_needed_goes_before_what_mends_itself() -> None:
    found = condition_of(status(disk_is_full=True, last_match_s=None))
    assert found.state is State.CALL
    assert [reason.rule for reason in found.reasons] == ["disk", "never_matched"]


def test_the_faults_of_a_daemon_that_stands_still_are_of_another_time() -> None:
    found = condition_of(status(running=False, **fault("listen", GONE, HOUR_S)))
    assert [reason.rule for reason in found.reasons] == ["not_running"]


def test_cover_traffic_without_a_server_is_no_second_fault() -> None:
    faults = dict.fromkeys(("fetch-and-match", "chaff", "daily"), "it cannot be reached")
    assert [reason.rule for reason in condition_of(status(faults=faults)).reasons] == ["server"]


def every_status() -> list[Status]:
    """Return statuses with every mixture of what the rules look at."""
    choices: list[list[dict[str, object]]] = [
        [{}, {"alerts": [{}]}],
        [{}, {"running": False}],
        [{}, {"disk_is_full": True}],
        [{}, {"last_match_s": None}, {"last_match_s": 0.0}],
        [{}, {"damaged_entries": 2}],
        [{}, {"paused_until_s": UNTIL_RESUMED}],
        [
            {},
            *(fault("listen", GONE, lasts_s) for lasts_s in (60, DAY_S)),
            *(fault("clock", "?", lasts_s) for lasts_s in (60, DAY_S)),
            fault("server", "its index has expired", 60),
        ],
    ]
    return [
        status(**{name: value for part in mixture for name, value in part.items()})
        for mixture in itertools.product(*choices)
    ]


def test_the_state_and_the_exit_code_of_check_never_contradict_each_other() -> None:
    met = set()
    for one in every_status():
        state, code = condition_of(one).state, one.check
        assert (state is State.ALERT) == (code == ALERT_IS_ACTIVE)
        if state is State.RUNNING:
            assert code == NOTHING_TO_DO
        if code == CANNOT_KNOW:
            assert state in {State.STALE, State.CALL}
        met.add((state, code))
    assert len(met) == 6, "every pair that may be"


def test_every_condition_reads_well_in_every_language() -> None:
    for one in every_status():
        told = condition_of(one).as_json()
        assert told["condition"] in {"running", "stale", "alert", "call"}
        for language in LANGUAGES:
            assert "{" not in told["reason"][language]
            assert "\n" not in told["reason"][language]


async def test_since_when_a_job_has_a_fault_is_kept_through_other_words_for_it_and_dropped_with_it(
    device: Device, clock: VirtualClock
) -> None:
    await device.status.note(board.LAST_MATCH, NOON_S)
    with only_daemon(device.settings.data):
        await device.status.note_fault("listen", "the adapter is switched off")
        await clock.run_for(1000)
        await device.status.note_fault("listen", GONE)
        assert condition_of(await look(device)).state is State.STALE
        await clock.run_for(1000)
        assert (await look(device)).fault_lasts_s("listen") == 2000
        assert condition_of(await look(device)).state is State.CALL
        await device.status.note_fault("listen", None)
        assert (await look(device)).faults_since_s == {}
        assert condition_of(await look(device)).state is State.RUNNING
        await device.status.note_fault("listen", GONE)
        await device.status.clear_faults()
        assert await device.status.read() == {board.LAST_MATCH: NOON_S}
