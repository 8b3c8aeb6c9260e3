"""What the technician is asked and told."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewarn_client.calibrating.estimating import Heard, Known, Turned, estimate
from forewarn_client.calibrating.frames import Turn
from forewarn_client.calibrating.telling import Result, Terminal, turn_in_words
from forewarn_protocol.errors import BadInput
from forewarn_shell.clock import Keeper
from forewarn_simulations.clocks import VirtualClock

TURNS = [Turned(Heard(-62, 1, 40), Heard(-63, 1, 40))] * 4


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return the end of a pipe, whose other end is standard input."""
    reads, writes = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reads))
    yield writes
    sys.stdin.close()


async def test_each_orientation_waits_for_a_line_of_its_own(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(8, 1.5) as terminal:
        os.write(keyboard, b"\nyes\n")
        await terminal.turned(1)
        terminal.show(40)
        await terminal.turned(2)
        waiting = asyncio.create_task(terminal.turned(3))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        os.write(keyboard, b"\n")
        await waiting
    os.close(keyboard)
    shown = capsys.readouterr().err
    assert "orientation 1 of 8: lay it 1.5 m from the reference device, step back, press Enter" in shown
    assert "orientation 2 of 8: turn it by 45°" in shown


async def test_a_wait_for_the_person_can_be_cancelled_and_leaves_nothing_behind(keyboard: int) -> None:
    with Terminal(4, 1.0) as terminal:
        waiting = asyncio.create_task(terminal.turned(1))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)
    assert not asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    os.close(keyboard)


async def test_where_nobody_can_answer_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.write_bytes(b"\n")
    with answers.open() as file, Terminal(4, 1.0) as terminal:
        monkeypatch.setattr(sys, "stdin", file)
        await terminal.turned(1)
        with pytest.raises(BadInput, match="or pipe a line into it for each orientation"):
            await terminal.turned(2)


async def test_what_is_kept_is_rounded_as_the_metadata_must_and_dated_where_somebody_keeps_the_clock() -> None:
    clock = VirtualClock(1_750_000_000)
    found = estimate(TURNS, Known(-20, 3), 1.0)
    result = Result.of(found, TURNS, "bluez hci0", clock)
    assert (result.calibration.tx_power_dbm, result.calibration.receiver_correction_db) == (-20, 1.8)
    assert str(result.calibration.measured) == "2025-06-15"
    assert result.as_text(Path("/d/calibration.toml")).splitlines() == [
        "transmit power -20 dBm (± 1.6), receiver correction +1.8 dB (± 1.6), confidence high",
        "written to /d/calibration.toml; the daemon uses it from its next start on",
    ]
    clock.keeper = Keeper.NOBODY
    assert Result.of(found, TURNS, "bluez hci0", clock).as_json()["measured"] is None


def test_the_reference_device_says_what_it_heard() -> None:
    assert turn_in_words(Turn(b"abc", 2), Heard(-61.25, 1, 44)) == (
        "device 616263, orientation 2: heard 44 times, median -61.2 dBm"
    )
