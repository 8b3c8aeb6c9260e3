import json
from itertools import pairwise
from pathlib import Path

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.listening import hear
from forewarn_protocol.intervals import day_at
from forewarn_shell import command_line
from forewarn_simulations.bench import daemon
from forewarn_simulations.bench.crowd_radio import CrowdRadio, sightings_per_window
from forewarn_simulations.bench.fortnight import EPOCH_S, live
from forewarn_simulations.bench.outcome import Outcome
from forewarn_simulations.cli import app
from forewarn_simulations.clocks import VirtualClock


def sim(*arguments: str) -> int:
    return command_line.run(app, "forewarn-sim", arguments)


def test_bench_daemon_prints_its_figures_and_bars_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = sim("bench", "daemon", "--quick", "--json")
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"name", "machine", "figures", "bars"}
    assert said["name"] == "daemon"
    assert said["machine"]
    assert all(value > 0 for value in said["figures"].values())
    assert {bar["name"]: bar["bar"] for bar in said["bars"]} == {
        "cpu_us_per_sighting": 50,
        "rss_mb": 80,
        "child_peak_mb": 100,
    }
    assert all(bar["value"] == said["figures"][bar["name"]] for bar in said["bars"])
    assert all(bar["ok"] == (bar["value"] < bar["bar"]) for bar in said["bars"])
    assert code == (0 if all(bar["ok"] for bar in said["bars"]) else 1)


def test_people_get_a_table_that_says_which_bar_was_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(daemon.LIMITS, "cpu_us_per_sighting", 0.0)  # which no machine keeps
    assert sim("bench", "daemon", "--quick") == 1
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "MISSED" in rows["cpu_us_per_sighting"]
    assert "MISSED" not in rows["diary_mb"]


def test_a_benchmark_that_there_is_not_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("bench", "demon") == 2
    assert capsys.readouterr().err == "forewarn-sim: there is no benchmark demon: give one of daemon\n"


def test_a_figure_must_be_below_its_bar() -> None:
    outcome = Outcome("two", {"low": 1.0, "on": 2.0, "free": 9.0}, {"low": 2.0, "on": 2.0})
    assert [(bar.name, bar.ok) for bar in outcome.bars] == [("low", True), ("on", False)]
    assert not outcome.ok


async def test_every_neighbour_is_heard_in_every_window_and_changes_its_identifier(clock: VirtualClock) -> None:
    radio = CrowdRadio(7, clock)
    await radio.start()
    first = await hear(radio, clock, 4, None, 4000)
    await clock.run_for(900)
    second = await hear(radio, clock, 4, None, 4000)
    assert len(first.bursts) == len(second.bursts) == 7
    assert not first.bursts.keys() & second.bursts.keys()
    assert first.count == second.count == 7 * sightings_per_window(4)


async def test_a_daemon_in_the_crowd_has_written_what_it_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The memory is that of a daemon that did its work: without the crowd's rows the figure would flatter."""
    await live(tmp_path, neighbours=3, days=0.02)
    said = json.loads(capsys.readouterr().out)
    assert said["peak_rss_mb"] >= said["rss_mb"] > 0
    assert said["child_peak_mb"] > 0
    assert said["alerts"] == 1
    async with Device.open(ClientSettings(data=tmp_path), VirtualClock(EPOCH_S)) as device:
        heard = await device.diary.sightings(day_at(EPOCH_S))
    times_s = sorted(sighting.time_s for sighting in heard)
    # A window lasts 4 s, and the next one begins minutes later.
    windows = 1 + sum(later_s - earlier_s > 60 for earlier_s, later_s in pairwise(times_s))
    assert windows >= 5
    assert len(heard) == windows * 3 * sightings_per_window(4)
    assert said["matched_sightings"] == len(heard) / 3, "one of the three is in the file that is compared"
