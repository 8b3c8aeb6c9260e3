from pathlib import Path

import pytest

from forewarn_shell import clock as clock_module
from forewarn_shell.clock import Keeper, SystemClock
from forewarn_shell.timekeeping import has_agreeing_real_time_clock, is_disciplined


@pytest.mark.parametrize(
    ("shows", "agrees"),
    [("1750075200\n", True), ("1750071601", True), ("1750060000", False), ("0", False), ("", False)],
)
def test_a_real_time_clock_counts_if_it_shows_the_same_hour(tmp_path: Path, *, shows: str, agrees: bool) -> None:
    (tmp_path / "rtc0").mkdir()
    (tmp_path / "rtc1").mkdir()
    (tmp_path / "rtc1" / "since_epoch").write_text(shows)
    assert has_agreeing_real_time_clock(1_750_075_200.0, tmp_path) is agrees


def test_a_machine_without_a_real_time_clock_has_none_that_agrees(tmp_path: Path) -> None:
    assert not has_agreeing_real_time_clock(0, tmp_path / "nowhere")


def test_the_kernel_is_asked_and_nothing_is_set() -> None:
    assert is_disciplined() in {True, False}


@pytest.mark.parametrize(
    ("disciplined", "real_time_clock", "keeper"),
    [
        (True, False, Keeper.TIME_SERVICE),
        (True, True, Keeper.TIME_SERVICE),
        (False, True, Keeper.REAL_TIME_CLOCK),
        (False, False, Keeper.NOBODY),
    ],
)
def test_a_time_service_goes_before_a_real_time_clock(
    monkeypatch: pytest.MonkeyPatch, *, disciplined: bool, real_time_clock: bool, keeper: Keeper
) -> None:
    monkeypatch.setattr(clock_module, "is_disciplined", lambda: disciplined)
    monkeypatch.setattr(clock_module, "has_agreeing_real_time_clock", lambda _: real_time_clock)
    assert SystemClock().kept_by() is keeper
