from pathlib import Path

import pytest

from forewarn_client.condition import State
from forewarn_client.signals.leds import CLASS, Led
from forewarn_client.signals.rhythms import BEEPS, RHYTHMS
from forewarn_protocol.errors import Missing
from tests.client.signals.led_tree import choose, make_led, written

RUNNING = RHYTHMS[State.RUNNING]


def test_a_rhythm_is_handed_to_the_kernel_for_a_time_only(tmp_path: Path) -> None:
    led = make_led(tmp_path / "ACT", max_brightness=255)
    Led(led).show(RUNNING, 900)
    assert written(led, "trigger") == "pattern"
    assert written(led, "repeat") == "90"
    assert written(led, "pattern") == "255 60 255 0 0 9940 0 0"


def test_a_trigger_that_is_chosen_is_not_chosen_again_so_that_its_files_keep_their_owner(tmp_path: Path) -> None:
    led = make_led(tmp_path / "ACT")
    choose(led, "pattern")
    before = written(led, "trigger")
    Led(led).show(RUNNING, 900)
    assert written(led, "trigger") == before
    Led(led).darken()
    assert written(led, "trigger") == before
    assert set((written(led, "pattern") or "").split()[::2]) == {"0"}


def test_a_kernel_without_patterns_blinks_by_its_timer(tmp_path: Path) -> None:
    led = make_led(tmp_path / "ACT", offered="none timer")
    Led(led).show(RUNNING, 900)
    assert [written(led, name) for name in ("trigger", "delay_on", "delay_off")] == ["timer", "60", "9940"]
    (led / "brightness").write_text("1")
    Led(led).darken()
    assert written(led, "brightness") == "0"


def test_a_buzzer_sounds_once(tmp_path: Path) -> None:
    led = make_led(tmp_path / "buzzer")
    Led(led).once(BEEPS)
    assert written(led, "repeat") == "1"
    assert (written(led, "pattern") or "").count("1 80") == 3


def test_a_light_whose_full_brightness_is_not_known_is_switched_on_and_off(tmp_path: Path) -> None:
    led = make_led(tmp_path / "ACT")
    (led / "max_brightness").write_bytes(b"\xff?\n")
    Led(led).show(RUNNING, 900)
    assert (written(led, "pattern") or "").startswith("1 60 1 0")


def test_what_is_missing_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no LED nowhere: name one of /sys/class/leds"):
        Led.named("nowhere").show(RUNNING, 1)
    assert Led.named("ACT")._folder == CLASS / "ACT"
    with pytest.raises(Missing, match="modprobe ledtrig-pattern"):
        Led(make_led(tmp_path / "plain", offered="none")).show(RUNNING, 1)
    with pytest.raises(Missing, match="offers no trigger pattern: run modprobe"):
        Led(make_led(tmp_path / "timed", offered="none timer")).once(BEEPS)
    forbidden = make_led(tmp_path / "forbidden")
    (forbidden / "repeat").mkdir()  # as good as forbidden, for root too
    with pytest.raises(Missing, match="let the daemon's user write"):
        Led(forbidden).show(RUNNING, 1)
