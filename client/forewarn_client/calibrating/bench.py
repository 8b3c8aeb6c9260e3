"""The two ends of a bench: the device under test, turned from orientation to orientation, and the reference device."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Never, Protocol

from forewarn_client.calibrating.estimating import Heard, Known, Turned, check_orientation
from forewarn_client.calibrating.frames import IDENTITY_BYTES, MOST_SAMPLES, SESSION_BYTES, Answer, Turn, decode, encode
from forewarn_client.radio import Radio
from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.clock import Clock

WINDOW_S: Final = 4.0
ENOUGH_SAMPLES: Final = 40
"""Heard by each end in an orientation: with four adverts a second, three windows."""
SETTLE_S: Final = 2.0
"""For the hand to leave the device."""

_MOST_WINDOWS: Final = 15
"""In an orientation; where bluetoothd reports a neighbour three times a window, these bring as many as are enough."""
_LOOKING_WINDOWS: Final = 4
_GONE_AFTER_WINDOWS: Final = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """One radio at a bench; devices that were given another word are at another bench."""

    radio: Radio
    clock: Clock
    word: str = ""

    async def window(self) -> list[tuple[Turn | Answer, int]]:
        """Listen for one window; return the bench's frames, each with its strength in dBm."""
        heard = []
        async with aclosing(self.radio.scan(WINDOW_S)) as reports:
            async for report in reports:
                frame = decode(report.service_data, self.word)
                if frame is not None:
                    heard.append((frame, report.rssi_dbm))
        return heard


class Technician(Protocol):
    """Whoever stands at the bench."""

    def looking(self) -> None:
        """Hear that the radio works, and that the reference device is looked for."""
        ...

    async def turned(self, number: int) -> None:
        """Turn the device into an orientation, counted from 1, and return when it lies there."""
        ...

    def show(self, samples: int) -> None:
        """See how many samples both ends have of this orientation."""
        ...


async def measure(bench: Bench, orientations: int, technician: Technician) -> tuple[Known, list[Turned]]:
    """Measure the device under test in each orientation, and return what is known of the reference device.

    Raises:
        Missing: no radio, or the other device is not heard.
        BadInput: what was heard is no measurement, or more than two devices are at this bench.
    """
    try:
        await bench.radio.start()
        technician.looking()
        session = secrets.token_bytes(SESSION_BYTES)
        reference = await _find(bench, session)
        turns = []
        for number in range(1, orientations + 1):
            await technician.turned(number)
            await bench.clock.sleep_until(bench.clock.monotonic() + SETTLE_S)
            turn = Turn(session, number)
            await bench.radio.advertise(encode(turn, bench.word))
            turns.append(await _one_turn(bench, reference, turn, technician.show))
            await bench.radio.stop_advertising()
        return reference.known, turns
    finally:
        await bench.radio.close()


async def _find(bench: Bench, session: bytes) -> Answer:
    for _ in range(_LOOKING_WINDOWS):
        frames = [frame for frame, _ in await bench.window()]
        if found := [frame for frame in frames if isinstance(frame, Answer)]:
            _demand_two(frames, found[0].identity, session)
            return found[0]
    raise Missing(
        "no reference device is heard: run 'calibrate --reference' on it, near this one, with the same --bench and "
        "service_uuid, and wait until it says that it listens"
    )


async def _one_turn(bench: Bench, reference: Answer, turn: Turn, show: Callable[[int], None]) -> Turned:
    rssi_dbm: list[int] = []
    there: Heard | None = None
    silent_windows = 0
    for _ in range(_MOST_WINDOWS):
        frames = await bench.window()
        _demand_two([frame for frame, _ in frames], reference.identity, turn.session)
        silent_windows = 0 if frames else silent_windows + 1
        if silent_windows == _GONE_AFTER_WINDOWS:
            raise Missing("the reference device is heard no more: see what it says, and begin again")
        for answer, strength_dbm in _answers(frames):
            rssi_dbm.append(strength_dbm)
            there = answer.heard if answer.turn == turn and answer.heard is not None else there
        so_far = min(len(rssi_dbm), there.samples if there is not None else 0)
        show(min(so_far, ENOUGH_SAMPLES))
        if so_far >= ENOUGH_SAMPLES:
            break
    if there is None:
        raise Missing(
            "the reference device does not hear this one: see that no other device is at the bench, and begin again"
        )
    turned = Turned(Heard.of(rssi_dbm), there)
    check_orientation(turned, turn.orientation)
    return turned


def _answers(frames: list[tuple[Turn | Answer, int]]) -> Iterator[tuple[Answer, int]]:
    for frame, strength_dbm in frames:
        if isinstance(frame, Answer):
            yield frame, strength_dbm


def _demand_two(frames: list[Turn | Answer], identity: bytes | None, session: bytes | None = None) -> None:
    for frame in frames:
        if isinstance(frame, Answer) and frame.identity != identity:
            raise BadInput("there are two reference devices: end one, or give each bench a word of its own (--bench)")
        if isinstance(frame, Turn) and session is not None and frame.session != session:
            raise BadInput("another device is measured at this bench: wait, or give each bench its own word (--bench)")


async def serve(bench: Bench, known: Known, *, ready: Callable[[], None], told: Callable[[Turn, Heard], None]) -> Never:
    """Be the reference device for one device after another, until cancelled; `told` gets each orientation once.

    Raises:
        Missing: no radio, or it is gone.
        BadInput: another reference device is at this bench.
    """
    try:
        await bench.radio.start()
        said = Answer(secrets.token_bytes(IDENTITY_BYTES), known)
        await bench.radio.advertise(encode(said, bench.word))
        ready()
        rssi_dbm: list[int] = []
        while True:
            frames = await bench.window()
            _demand_two([frame for frame, _ in frames], None)
            turn, rssi_dbm = _hear_turns(frames, said.turn, rssi_dbm)
            answer = replace(said, turn=turn, heard=Heard.of(rssi_dbm) if rssi_dbm else None)
            if answer == said:
                continue
            before, said = said, answer
            await bench.radio.advertise(encode(said, bench.word))
            if answer.heard is not None and _is_enough(answer) and not (before.turn == turn and _is_enough(before)):
                told(turn, answer.heard)
    finally:
        await bench.radio.close()


def _hear_turns(frames: list[tuple[Turn | Answer, int]], turn: Turn, rssi_dbm: list[int]) -> tuple[Turn, list[int]]:
    """Gather the strengths of the newest turn; each new one begins anew, and none comes back."""
    for frame, strength_dbm in frames:
        if not isinstance(frame, Turn) or (frame.session == turn.session and frame.orientation < turn.orientation):
            continue
        if frame != turn:
            turn, rssi_dbm = frame, []
        if len(rssi_dbm) < MOST_SAMPLES:
            rssi_dbm.append(strength_dbm)
    return turn, rssi_dbm


def _is_enough(answer: Answer) -> bool:
    return answer.heard is not None and answer.heard.samples >= ENOUGH_SAMPLES
