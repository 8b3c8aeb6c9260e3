"""What the technician sees: when to turn the device, how far a measurement is, what came of it."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import typer

from forewarn_client.calibrating.bench import ENOUGH_SAMPLES
from forewarn_client.calibrating.estimating import Estimate, Heard, Turned
from forewarn_client.calibrating.frames import Turn
from forewarn_client.calibration import Calibration
from forewarn_protocol.errors import BadInput
from forewarn_shell.clock import Clock, Keeper

READY: Final = "the reference device listens: run 'calibrate' on the device to be measured; Ctrl-C ends this one"
_CHUNK_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept, and what it was worked out from."""

    calibration: Calibration
    found: Estimate
    turns: Sequence[Turned]

    @classmethod
    def of(cls, found: Estimate, turns: Sequence[Turned], radio: str, clock: Clock) -> Self:
        """Round as the metadata must, and date it where somebody keeps the clock."""
        is_kept = clock.kept_by() is not Keeper.NOBODY
        calibration = Calibration(
            radio=radio,
            tx_power_dbm=round(found.tx_power_dbm),
            confidence=int(found.confidence),
            receiver_correction_db=round(found.correction_db, 1),
            error_db=round(max(found.tx_error_db, found.correction_error_db), 1),
            measured=datetime.fromtimestamp(clock.utc(), UTC).date() if is_kept else None,
        )
        return cls(calibration, found, turns)

    def as_text(self, path: Path) -> str:
        """Return two lines for the technician."""
        found = self.found
        return (
            f"transmit power {self.calibration.tx_power_dbm} dBm (± {found.tx_error_db:.1f}), receiver correction "
            f"{found.correction_db:+.1f} dB (± {found.correction_error_db:.1f}), confidence "
            f"{found.confidence.name.lower()}\nwritten to {path}; the daemon uses it from its next start on"
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        kept = self.calibration.model_dump(mode="json")
        return kept | {
            "tx_error_db": round(self.found.tx_error_db, 2),
            "correction_error_db": round(self.found.correction_error_db, 2),
            "orientations": [asdict(turn) for turn in self.turns],
        }


def turn_told(turn: Turn, heard: Heard) -> dict[str, Any]:
    """Return for a program what the reference device heard in one orientation of one device."""
    return {"device": turn.session.hex(), "orientation": turn.orientation} | asdict(heard)


def turn_in_words(turn: Turn, heard: Heard) -> str:
    """Return the same for the technician."""
    return (
        f"device {turn.session.hex()}, orientation {turn.orientation}: heard {heard.samples} times, "
        f"median {heard.median_dbm:.1f} dBm"
    )


class Terminal:
    """Prompts and a bar on stderr, answers from standard input, which may be a pipe.

    A line is waited for in the event loop: a thread that reads could not be ended by Ctrl-C.
    """

    def __init__(self, orientations: int, distance_m: float) -> None:
        self._orientations = orientations
        self._distance_m = distance_m
        self._typed = b""
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()

    def looking(self) -> None:
        """Say what is done before the first orientation."""
        typer.echo("looking for the reference device", err=True)

    async def turned(self, number: int) -> None:
        """Ask for an orientation, and return when the person says that the device lies so.

        Raises:
            BadInput: nobody can say so.
        """
        self._end_bar()
        how = f"lay it {self._distance_m:g} m from the reference device" if number == 1 else f"turn it by {self._angle}"
        typer.echo(f"orientation {number} of {self._orientations}: {how}, step back, press Enter ", nl=False, err=True)
        await self._line()
        self._bar = typer.progressbar(length=ENOUGH_SAMPLES, label="measuring", file=sys.stderr)
        self._bar.render_progress()

    def show(self, samples: int) -> None:
        """Take the bar to so many samples."""
        self._bar.update(samples - self._bar.pos)

    @property
    def _angle(self) -> str:
        return f"{360 / self._orientations:g}°"

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None

    async def _line(self) -> None:
        while b"\n" not in self._typed:
            await _readable(sys.stdin.fileno())
            chunk = os.read(sys.stdin.fileno(), _CHUNK_BYTES)
            if not chunk:
                raise BadInput(
                    "nobody says here when the device is turned: run calibrate on a terminal, or pipe a line into it "
                    "for each orientation"
                )
            self._typed += chunk
        _, _, self._typed = self._typed.partition(b"\n")


async def _readable(descriptor: int) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file, or nothing at all: never blocks
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
