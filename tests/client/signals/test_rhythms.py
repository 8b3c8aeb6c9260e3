import re
from itertools import pairwise
from pathlib import Path

import pytest

from forewarn_client.condition import State
from forewarn_client.signals.rhythms import BEEPS, GAP_MS, RHYTHMS, Rhythm, rhythm_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "site.md"


def test_running_stale_and_a_message_are_told_apart_by_counting_flashes() -> None:
    counts = [len(RHYTHMS[state].flashes_ms) for state in (State.RUNNING, State.STALE, State.CALL)]
    assert counts == [1, 2, 3]
    assert all(flash_ms < GAP_MS for rhythm in RHYTHMS.values() for flash_ms in rhythm.flashes_ms)


def test_an_alert_looks_like_a_call_for_help_unless_its_owner_wants_it_told_apart() -> None:
    assert rhythm_of(State.ALERT, "discreet") == rhythm_of(State.CALL, "discreet") == rhythm_of(State.CALL, "own")
    assert rhythm_of(State.ALERT, "own") not in RHYTHMS.values()


def test_where_the_kernel_knows_no_patterns_each_pace_is_at_least_twice_the_next() -> None:
    rhythms = [RHYTHMS[State.RUNNING], RHYTHMS[State.STALE], rhythm_of(State.ALERT, "own"), RHYTHMS[State.CALL]]
    periods_ms = [sum(rhythm.timed_ms) for rhythm in rhythms]
    assert all(slow >= 1.9 * fast for slow, fast in pairwise(periods_ms))


@pytest.mark.parametrize("rhythm", [*RHYTHMS.values(), rhythm_of(State.ALERT, "own"), BEEPS])
def test_a_pattern_lights_as_often_and_as_long_as_its_rhythm_says_and_never_fades(rhythm: Rhythm) -> None:
    numbers = [int(number) for number in rhythm.pattern(255).split()]
    steps = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert [lasts_ms for level, lasts_ms in steps if level and lasts_ms] == list(rhythm.flashes_ms)
    assert sum(lasts_ms for _, lasts_ms in steps) == rhythm.period_ms
    for (level, lasts_ms), (next_level, next_lasts_ms) in zip(steps[::2], steps[1::2], strict=True):
        assert (level, lasts_ms > 0, next_lasts_ms) == (next_level, True, 0)


def test_the_light_costs_next_to_nothing() -> None:
    assert max(rhythm.lit for rhythm in RHYTHMS.values()) < 0.04


def rhythm_rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| (running|stale|alert|call for help) \| ([^|]+) \|", text, re.MULTILINE))


def test_the_documented_contract_is_the_one_in_the_code() -> None:
    words = {1: "one short flash", 2: "two short flashes", 3: "three short flashes"}
    expected = {
        state.value.replace("call", "call for help"): (
            f"{words[len(rhythm.flashes_ms)]} each {rhythm.period_ms // 1000} s"
        )
        for state, rhythm in RHYTHMS.items()
    }
    assert rhythm_rows(DOCUMENT.read_text()) == expected
