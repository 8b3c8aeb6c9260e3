"""The battery hours of docs/site.md are the arithmetic they say they are."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from forewarn_client.condition import State
from forewarn_client.doctor.energy import OnTime
from forewarn_client.signals.rhythms import RHYTHMS
from forewarn_client.timing import Timing

DOCUMENT = (Path(__file__).parents[3] / "docs" / "site.md").read_text()
DAY_S = 24 * 3600
RADIO_MA, LED_MA = 40.0, 5.0
CELL_V, BOARD_V, CONVERTER = 3.7, 5.0, 0.85


class Row(NamedTuple):
    idle_ma: float
    total_ma: float
    small_h: float
    large_h: float


def rows(text: str) -> list[Row]:
    found = re.findall(r"^\| Zero [^|]*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    return [Row(*map(float, row)) for row in found]


def worked_out(idle_ma: float) -> Row:
    timing = Timing.production()
    day = OnTime.of(timing, timing.advertise_interval_s)
    radio_ma = RADIO_MA * (day.scanning_s + day.sending_s) / DAY_S
    total_ma = idle_ma + radio_ma + LED_MA * RHYTHMS[State.RUNNING].lit
    hours = [mah * CELL_V * CONVERTER / (BOARD_V * total_ma) for mah in (2000, 5000)]
    return Row(idle_ma, round(total_ma, 1), round(hours[0], 1), round(hours[1], 1))


def test_the_battery_hours_in_the_document_are_worked_out_from_the_radios_on_time() -> None:
    shown = rows(DOCUMENT)
    assert len(shown) == 3
    assert shown == [worked_out(row.idle_ma) for row in shown]
    # Positive control: a figure that was not worked out is found.
    assert rows("| Zero W | 100 | 100.9 | 99 | 40 |") != [worked_out(100)]


def test_tracing_costs_less_than_a_hundredth_of_what_the_board_draws() -> None:
    assert worked_out(120).total_ma / 120 < 1.01


@pytest.mark.parametrize("words", ["1.8 % of the time scanning and 0.5 % sending", "0.03 mA for the LED"])
def test_the_shares_in_the_document_are_the_doctors(words: str) -> None:
    timing = Timing.production()
    day = OnTime.of(timing, timing.advertise_interval_s)
    assert f"{day.scanning_s / DAY_S:.1%}, {day.sending_s / DAY_S:.1%}" == "1.8%, 0.5%"
    assert f"{LED_MA * RHYTHMS[State.RUNNING].lit:.2f}" == "0.03"
    assert words in DOCUMENT
