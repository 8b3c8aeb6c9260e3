from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadKey
from forewarn_protocol.intervals import (
    MAX_INTERVAL,
    day_at,
    day_of,
    first_interval,
    interval_at,
    iso_utc,
    midnight,
    next_midnight,
    start_s,
)


def test_an_interval_is_ten_minutes_since_the_epoch() -> None:
    assert interval_at(1585785600) == 2642976  # published with the specification's test vectors
    assert interval_at(1585785600 + 599.9) == 2642976
    assert interval_at(1585785600 + 600) == 2642977


@pytest.mark.parametrize("unix_s", [-1, float("nan"), float("inf"), (MAX_INTERVAL + 1) * 600])
def test_a_time_outside_uint32_intervals_is_refused(unix_s: float) -> None:
    with pytest.raises(BadKey, match="Unix seconds"):
        interval_at(unix_s)


@given(st.integers(0, 4_000_000))
def test_midnight_starts_the_utc_day_that_contains_the_interval(interval: int) -> None:
    assert midnight(interval) <= interval < next_midnight(interval)
    assert start_s(midnight(interval)) % 86400 == 0
    assert first_interval(day_of(interval)) == midnight(interval)


def test_days_are_utc_days() -> None:
    assert day_at(1585785599) == date(2020, 4, 1)
    assert day_at(1585785600) == date(2020, 4, 2)
    assert iso_utc(1585785600.7) == "2020-04-02T00:00:00Z"


def test_an_interval_after_the_year_9999_has_no_date() -> None:
    last = 253_402_300_799 // 600
    assert day_of(last) == date.max
    assert iso_utc(253_402_300_799) == "9999-12-31T23:59:59Z"
    assert iso_utc(253_402_300_800) == iso_utc(MAX_INTERVAL * 600) == "after the year 9999"
    with pytest.raises(BadKey, match="9999"):
        day_of(last + 1)
