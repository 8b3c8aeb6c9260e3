from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.intervals import INTERVAL_S, Interval
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_server.exports.planning import FilePlan, SealingRules, Waiting, due, files, releasable_s
from forewarn_server.hours import HOUR_S, hour_of
from tests.server.hand_clock import NOON

RULES = SealingRules(
    embargo_s=2 * HOUR_S, minimum_reports=3, maximum_wait_s=6 * HOUR_S, padded_keys=1_000, maximum_keys=500_000
)
HOURS = 40

# A publish: the second in which it comes (from NOON on), and its keys as (start relative to then, period).
PUBLISH = st.tuples(
    st.integers(0, 24 * HOUR_S),
    st.lists(st.tuples(st.integers(-300, 0), st.integers(1, 144)), min_size=1, max_size=4),
)


def tek_of(received_s: int, start: int, period: int) -> TemporaryExposureKey:
    return TemporaryExposureKey(bytes(16), Interval(received_s // INTERVAL_S + start), period)


def released_at(publishes: list[tuple[int, list[tuple[int, int]]]], rules: SealingRules) -> list[tuple[int, int, int]]:
    """Seal hourly, and return for each key its own end, the hour of its free moment, and when it was released."""
    waiting = []
    for report, (offset_s, keys) in enumerate(publishes):
        received_s = NOON + offset_s
        for start, period in keys:
            tek = tek_of(received_s, start, period)
            waiting.append((releasable_s(tek, received_s, rules.embargo_s), report, tek.end * INTERVAL_S, received_s))
    released = []
    for now_s in range(NOON, NOON + HOURS * HOUR_S + 24 * HOUR_S, HOUR_S):
        free = [entry for entry in waiting if entry[0] <= now_s and entry[3] <= now_s]
        since_s = min((entry[0] for entry in free), default=None)
        if due(Waiting(len(free), len({entry[1] for entry in free}), since_s), rules, now_s):
            released += [(end_s, since, now_s) for since, _, end_s, _ in free]
            waiting = [entry for entry in waiting if entry not in free]
    assert not waiting
    return released


@given(st.lists(PUBLISH, min_size=1, max_size=6))
def test_no_key_is_released_within_two_hours_of_its_own_end(publishes: list[tuple[int, list[tuple[int, int]]]]) -> None:
    assert all(now_s >= end_s + 2 * HOUR_S for end_s, _, now_s in released_at(publishes, RULES))


def test_the_embargo_is_what_holds_a_key_back() -> None:
    """Positive control: without it, the same scenario releases a key that can still be spoken."""
    one = [(0, [(0, 6)])]
    (held,) = released_at(one, RULES)
    (loose,) = released_at(one, replace(RULES, embargo_s=0, maximum_wait_s=0))
    assert held[2] >= held[0] + 2 * HOUR_S
    assert loose[2] < loose[0] + 2 * HOUR_S


@given(st.lists(PUBLISH, min_size=1, max_size=6))
def test_no_key_waits_longer_than_six_hours_after_its_embargo(
    publishes: list[tuple[int, list[tuple[int, int]]]],
) -> None:
    assert all(now_s - since_s <= 6 * HOUR_S for _, since_s, now_s in released_at(publishes, RULES))


def test_a_key_cut_short_is_free_two_hours_after_its_own_end_and_not_after_midnight() -> None:
    tek = tek_of(NOON, -72, 60)
    assert releasable_s(tek, NOON, 2 * HOUR_S) == NOON
    whole = tek_of(NOON, -72, 144)
    assert releasable_s(whole, NOON, 2 * HOUR_S) == NOON + 14 * HOUR_S


def test_a_key_of_a_past_day_is_free_from_the_hour_in_which_it_came() -> None:
    assert releasable_s(tek_of(NOON, -300, 144), NOON + 1_234, 2 * HOUR_S) == NOON


def test_fewer_than_three_reports_wait_and_three_do_not() -> None:
    waiting = Waiting(keys=20, reports=2, since_s=NOON)
    assert not due(waiting, RULES, NOON)
    assert not due(waiting, RULES, NOON + 6 * HOUR_S - 1)
    assert due(waiting, RULES, NOON + 6 * HOUR_S)
    assert due(replace(waiting, reports=3), RULES, NOON)


def test_where_nothing_waits_nothing_is_due() -> None:
    assert not due(Waiting(keys=0, reports=0, since_s=None), RULES, NOON)


@given(
    keys=st.integers(0, 3_000_000),
    revised=st.integers(0, 100),
    padded=st.integers(0, 5_000),
    maximum=st.integers(1, 500_000),
)
def test_files_share_all_keys_evenly_padded_and_never_over_the_maximum(
    keys: int, revised: int, padded: int, maximum: int
) -> None:
    rules = replace(RULES, padded_keys=padded, maximum_keys=max(maximum, 1_000))
    plans = files(keys, revised, rules)
    assert sum(plan.keys for plan in plans) == keys
    assert all(plan.keys <= rules.maximum_keys for plan in plans)
    if plans:
        shares = [plan.keys for plan in plans]
        assert max(shares) - min(shares) <= 1
    assert all(plan.keys + plan.padding >= padded for plan in plans if plan.keys)
    assert all(plan.padding == 0 for plan in plans if plan.keys >= padded)


def test_an_empty_batch_makes_no_file() -> None:
    assert files(0, 0, RULES) == []


def test_revised_keys_are_not_padded() -> None:
    assert files(0, 7, RULES) == [FilePlan(keys=0, padding=0)]
    assert files(10, 7, RULES) == [FilePlan(keys=10, padding=990)]


@given(st.integers(0, 2**33))
def test_times_are_cut_to_the_hour(time_s: int) -> None:
    assert hour_of(time_s) % HOUR_S == 0
    assert 0 <= time_s - hour_of(time_s) < HOUR_S
