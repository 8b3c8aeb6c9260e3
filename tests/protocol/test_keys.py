import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import BadKey
from forewarn_protocol.identifiers import identifiers
from forewarn_protocol.intervals import MAX_INTERVAL, Interval
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey

DAY = 2642976


@given(st.integers(0, 143), st.integers(0, 143))
def test_a_fresh_key_speaks_until_midnight_and_a_cut_one_until_its_last_word(first: int, later: int) -> None:
    tek = TemporaryExposureKey.fresh(Interval(DAY + first), bytes(16))
    assert (tek.rolling_start, tek.end) == (DAY + first, DAY + 144)
    last = Interval(max(DAY + first, DAY + later))
    cut = tek.cut_short(last)
    assert cut.covers(last)
    assert not cut.covers(last + 1)
    assert cut.end == last + 1


def test_a_key_is_cut_only_inside_its_own_period() -> None:
    tek = TemporaryExposureKey(bytes(16), Interval(DAY), 10)
    with pytest.raises(BadKey):
        tek.cut_short(Interval(DAY + 10))
    with pytest.raises(BadKey):
        tek.cut_short(Interval(DAY - 1))


@pytest.mark.parametrize(
    ("key", "start", "period"),
    [
        (bytes(15), DAY, 144),
        (bytes(32), DAY, 144),
        (bytes(16), DAY, 0),
        (bytes(16), DAY, 145),
        (bytes(16), -1, 144),
        (bytes(16), MAX_INTERVAL, 144),
        (bytes(16), MAX_INTERVAL, 2),
        (bytes(16), MAX_INTERVAL + 1, 1),
    ],
)
def test_an_impossible_key_cannot_be_made(key: bytes, start: int, period: int) -> None:
    with pytest.raises(BadKey):
        TemporaryExposureKey(key, Interval(start), period)


@pytest.mark.parametrize("period", [1, 144])
def test_a_key_may_speak_until_the_last_interval_of_uint32(period: int) -> None:
    tek = TemporaryExposureKey(bytes(16), Interval(MAX_INTERVAL + 1 - period), period)
    assert tek.covers(MAX_INTERVAL)
    assert len(identifiers(tek.key, tek.rolling_start, tek.rolling_period)) == period


def test_a_key_never_shows_its_bytes() -> None:
    secret = bytes(range(16))
    shown = repr(DiagnosisKey(TemporaryExposureKey(secret, Interval(DAY))))
    assert secret.hex() not in shown
    assert repr(secret) not in shown
