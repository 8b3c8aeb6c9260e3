"""The command `calibrate`: what the technician gives it, and in which order it does its work."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Final

import typer

from forewarn_client.calibrating.bench import Bench, measure, serve
from forewarn_client.calibrating.estimating import (
    FULL_TURN,
    LEAST_ORIENTATIONS,
    Heard,
    Known,
    estimate,
    free_space_loss_db,
)
from forewarn_client.calibrating.frames import MOST_ORIENTATIONS, Turn
from forewarn_client.calibrating.telling import READY, Result, Terminal, turn_in_words, turn_told
from forewarn_client.calibration import write_calibration
from forewarn_client.config import ClientSettings, set_by_hand
from forewarn_client.presence import only_daemon
from forewarn_client.radio import Radio
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.running import until_sigterm
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadInput, Missing
from forewarn_protocol.metadata import Confidence
from forewarn_shell.clock import Clock, SystemClock

_ONE_METRE: Final = 1.0


def calibrate(
    context: typer.Context,
    *,
    reference: Annotated[bool, typer.Option("--reference", help="Be the reference device, until Ctrl-C.")] = False,
    tx_power: Annotated[
        float | None, typer.Option(help="The reference device's known transmit power.", metavar="DBM")
    ] = None,
    correction: Annotated[
        float | None, typer.Option(help="The reference device's known receiver correction.", metavar="DB")
    ] = None,
    distance: Annotated[
        float | None, typer.Option(help="Between the two antennas; 1 unless given.", metavar="METRES")
    ] = None,
    orientations: Annotated[
        int | None,
        typer.Option(
            help=f"How often the device is turned, {LEAST_ORIENTATIONS} to {MOST_ORIENTATIONS}; 4 unless given.",
            min=LEAST_ORIENTATIONS,
            max=MOST_ORIENTATIONS,
            metavar="N",
        ),
    ] = None,
    bench: Annotated[str, typer.Option(help="A word for this bench, where there are several.", metavar="WORD")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this device's radio against a reference device, and keep what was found (docs/calibration.md)."""
    settings: ClientSettings = context.obj()
    clock = SystemClock()
    if reference:
        if (distance, orientations) != (None, None):
            raise BadInput("--distance and --orientations are given to the device that is measured, not to --reference")
        known = _known(settings, tx_power, correction)
        with _radio(settings, clock) as radio, suppress(asyncio.CancelledError):
            asyncio.run(until_sigterm(_be_reference(Bench(radio, clock, bench), known, as_json=as_json)))
        return
    if (tx_power, correction) != (None, None):
        raise BadInput("--tx-power and --correction are the reference device's: give them with --reference")
    distance_m = _ONE_METRE if distance is None else distance
    free_space_loss_db(distance_m)  # refused before anybody turns anything
    _demand_unset(settings)
    with _radio(settings, clock) as radio:
        found = asyncio.run(_be_measured(settings, Bench(radio, clock, bench), distance_m, orientations or FULL_TURN))
        path = write_calibration(settings.data, found.calibration)
    typer.echo(json.dumps(found.as_json()) if as_json else found.as_text(path))


def _known(settings: ClientSettings, tx_power: float | None, correction: float | None) -> Known:
    if tx_power is not None and correction is not None:
        return Known(tx_power, correction)
    if (tx_power, correction) == (None, None) and settings.confidence == Confidence.HIGH:
        return Known(settings.tx_power_dbm, settings.receiver_correction_db)
    raise BadInput(
        "a reference device is one whose radio is known: give both --tx-power and --correction, or use one that was "
        "calibrated with high confidence"
    )


def _demand_unset(settings: ClientSettings) -> None:
    if names := set_by_hand(settings.data):
        raise BadInput(
            f"{' and '.join(names)} would go before what is measured: remove it from settings.toml and the environment"
        )


@contextmanager
def _radio(settings: ClientSettings, clock: Clock) -> Iterator[Radio]:
    if settings.radio == "loopback":
        raise Missing(
            'loopback is air inside one process, nobody is heard: set radio = "bluez" or "hci" in settings.toml'
        )
    with only_daemon(settings.data):
        yield choose_radio(settings, clock, Timing.production())


async def _be_reference(bench: Bench, known: Known, *, as_json: bool) -> None:
    def tell(turn: Turn, heard: Heard) -> None:
        typer.echo(json.dumps(turn_told(turn, heard)) if as_json else turn_in_words(turn, heard))

    await serve(bench, known, ready=lambda: typer.echo(READY, err=True), told=tell)


async def _be_measured(settings: ClientSettings, bench: Bench, distance_m: float, orientations: int) -> Result:
    with Terminal(orientations, distance_m) as terminal:
        known, turns = await measure(bench, orientations, terminal)
    found = estimate(turns, known, distance_m)
    return Result.of(found, turns, settings.radio_name, bench.clock)
