import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.diary.schema import STATEMENTS
from forewarn_client.diary.vault import Vault
from forewarn_client.keyring import MAX_INTERVALS_AHEAD, Keyring, OwnKey
from forewarn_protocol.intervals import Interval, day_of, first_interval
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.verification import TestType
from forewarn_simulations.clocks import VirtualClock

TODAY = date(2025, 6, 16)
MIDNIGHT = first_interval(TODAY)
NOON = Interval(MIDNIGHT + 72)

Spoken = tuple[bytes, Interval]


class Forgetful(Keyring):
    """A keyring that keeps its keys but not what they have spoken: the fault that the tests must see."""

    def _keep(self, connection: sqlite3.Connection, key: OwnKey) -> None:
        super()._keep(connection, replace(key, spoken=frozenset()))


def play(
    kind: type[Keyring], steps: Sequence[tuple[str, int]]
) -> Iterator[tuple[Interval, tuple[TemporaryExposureKey, Interval] | None]]:
    """Walk a keyring through waits, steps of the clock, restarts, rotations and reports; yield each answer."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in STATEMENTS:
        connection.execute(statement)
    keyring = kind(None, Vault(bytes(32)))  # type: ignore[arg-type]  # its transactions are ours here
    now = int(NOON)
    for action, amount in steps:
        match action:
            case "wait":
                now += amount
            case "rotate":
                yield Interval(now), keyring._take(connection, Interval(now))
            case "refuse":
                if (taken := keyring._take(connection, Interval(now))) is not None:
                    keyring.hand_back(*taken)
            case "restart":
                keyring = kind(None, Vault(bytes(32)))  # type: ignore[arg-type]  # as above
            case "report":
                keyring.release_within(connection, TODAY, Interval(now))
    connection.close()


steps = st.lists(
    st.tuples(st.just("rotate"), st.just(0))
    | st.tuples(st.just("restart"), st.just(0))
    | st.tuples(st.just("report"), st.just(0))
    | st.tuples(st.just("wait"), st.integers(-150, 150) | st.integers(-2, 2)),
    max_size=40,
)


@given(st.lists(steps, max_size=8))
def test_an_identifier_is_never_spoken_twice_however_often_a_radio_refuses(steps: list[list[tuple[str, int]]]) -> None:
    refused = [step for part in steps for step in [*part, ("refuse", 0)]]
    spoken = [(answer[0].key, answer[1]) for _, answer in play(Keyring, refused) if answer]
    assert len(spoken) == len(set(spoken))


@given(steps)
def test_an_identifier_is_never_spoken_twice(steps: list[tuple[str, int]]) -> None:
    spoken: list[Spoken] = []
    for now, answer in play(Keyring, steps):
        if answer is None:
            continue
        tek, interval = answer
        assert now <= interval <= now + MAX_INTERVALS_AHEAD
        assert tek.covers(interval)
        assert day_of(interval) == day_of(now)
        said = {i for key, i in spoken if key == tek.key}
        assert not [i for i in range(now, interval) if tek.covers(i) and i not in said], "a smaller one was left"
        spoken.append((tek.key, interval))
    assert len(spoken) == len(set(spoken))


def test_the_search_for_a_repeated_identifier_finds_one() -> None:
    """Positive control: without the durable mark, a restart in the same ten minutes repeats itself."""
    answers = [answer for _, answer in play(Forgetful, [("rotate", 0), ("restart", 0), ("rotate", 0)])]
    spoken = [(answer[0].key, answer[1]) for answer in answers if answer]
    assert len(spoken) == 2
    assert len(set(spoken)) == 1


def test_seven_restarts_in_one_interval_use_up_the_hour_and_the_eighth_is_silent() -> None:
    answers = [
        answer for _, answer in play(Keyring, [("rotate", 0), ("restart", 0)] * 8 + [("wait", 1), ("rotate", 0)])
    ]
    intervals = [answer[1] - NOON if answer else None for answer in answers]
    assert intervals == [0, 1, 2, 3, 4, 5, 6, None, 7]


def test_before_midnight_a_spent_key_is_silent_until_the_new_day() -> None:
    # From noon to the last interval of the day: one identifier is left, the next belongs to tomorrow's key.
    answers = list(play(Keyring, [("wait", 71), ("rotate", 0), ("rotate", 0), ("wait", 1), ("rotate", 0)]))
    (_, last), (_, none), (_, first) = answers
    assert last is not None
    assert none is None
    assert first is not None
    assert (last[1], first[1]) == (MIDNIGHT + 143, MIDNIGHT + 144)
    assert last[0].key != first[0].key


async def test_a_days_key_begins_at_midnight_whenever_the_device_was_switched_on(device: Device) -> None:
    taken = await device.keyring.next_identifier(NOON)
    assert taken is not None
    assert (taken[0].rolling_start, taken[0].rolling_period, taken[1]) == (MIDNIGHT, 144, NOON)


async def test_an_identifier_is_on_the_disk_before_it_is_given_out(
    settings: ClientSettings, clock: VirtualClock, tmp_path: Path
) -> None:
    async with Device.open(settings, clock) as device:
        first = await device.keyring.next_identifier(NOON)
        # As after a power cut: the files as they are now, never closed.
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in settings.data.iterdir():
            if not file.name.endswith("-shm"):
                (copy / file.name).write_bytes(file.read_bytes())
    async with Device.open(ClientSettings(data=copy), clock) as restarted:
        second = await restarted.keyring.next_identifier(NOON)
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert (first[1], second[1]) == (NOON, NOON + 1)


async def test_a_report_releases_earlier_days_whole_and_today_cut_after_its_last_word(device: Device) -> None:
    keyring = device.keyring
    for days in (3, 2, 1):
        await keyring.next_identifier(Interval(NOON - 144 * days))
    for ahead in (0, 1, 1):
        today = await keyring.next_identifier(Interval(NOON + ahead))
    assert today is not None
    released = await keyring.release(date(2025, 6, 14), Interval(NOON + 1))
    assert [(tek.rolling_start, tek.rolling_period) for tek in released] == [
        (MIDNIGHT - 288, 144),
        (MIDNIGHT - 144, 144),
        (MIDNIGHT, 72 + 2 + 1),
    ]
    assert released[-1].key == today[0].key


async def test_after_a_report_a_new_key_speaks_from_the_next_interval_on(device: Device) -> None:
    before = await device.keyring.next_identifier(NOON)
    (released,) = await device.keyring.release(TODAY, NOON)
    after = await device.keyring.next_identifier(NOON)
    assert before is not None
    assert after is not None
    assert after[0].key != before[0].key
    assert (after[0].rolling_start, after[0].end, after[1]) == (released.end, MIDNIGHT + 144, NOON + 1)


async def test_a_second_report_releases_the_same_keys_and_the_new_one(device: Device) -> None:
    await device.keyring.next_identifier(NOON)
    (first,) = await device.keyring.release(TODAY, NOON)
    assert await device.keyring.release(TODAY, NOON) == [first]  # the new key has said nothing yet
    second = await device.keyring.next_identifier(Interval(NOON + 2))
    assert second is not None
    again = await device.keyring.release(TODAY, Interval(NOON + 2))
    assert again == [first, second[0].cut_short(second[1])]


async def test_a_key_that_spoke_its_last_interval_is_released_whole(device: Device) -> None:
    last = Interval(MIDNIGHT + 143)
    await device.keyring.next_identifier(last)
    (released,) = await device.keyring.release(TODAY, last)
    assert released.end == MIDNIGHT + 144
    assert await device.keyring.next_identifier(last) is None
    tomorrow = await device.keyring.next_identifier(Interval(last + 1))
    assert tomorrow is not None
    assert tomorrow[1] == last + 1


async def test_a_day_that_the_person_drops_is_neither_released_nor_cut(device: Device) -> None:
    for days in (1, 0):
        await device.keyring.next_identifier(Interval(NOON - 144 * days))
    released = await device.keyring.release(date(2025, 6, 1), NOON, dropped={TODAY})
    assert [tek.rolling_start for tek in released] == [MIDNIGHT - 144]
    more = await device.keyring.next_identifier(NOON)
    assert more is not None
    assert more[0].rolling_start == MIDNIGHT


async def test_a_key_of_the_future_is_not_released(device: Device) -> None:
    """After a clock that ran ahead was set back: a server refuses a key that starts in the future."""
    await device.keyring.next_identifier(Interval(NOON + 144))
    await device.keyring.next_identifier(NOON)
    assert [tek.rolling_start for tek in await device.keyring.release(TODAY, NOON)] == [MIDNIGHT]


@given(
    said=st.sets(st.integers(0, 143)),
    released=st.booleans(),
    period=st.integers(1, 144),
    sent=st.none() | st.sampled_from(TestType),
    revised=st.booleans(),
)
def test_a_keys_history_survives_its_record(
    *, said: set[int], released: bool, period: int, sent: TestType | None, revised: bool
) -> None:
    tek = TemporaryExposureKey(bytes(range(16)), MIDNIGHT, period)
    key = OwnKey(tek, frozenset(Interval(MIDNIGHT + i) for i in said if i < period), released, sent, revised, 7)
    assert OwnKey.decode(key.encode(), 7) == key


def test_no_key_is_shown() -> None:
    key = OwnKey(TemporaryExposureKey(b"KKKKKKKKKKKKKKKK", MIDNIGHT))
    assert "KKKK" not in repr(key)


@pytest.mark.parametrize("spoken", [True, False])
async def test_only_a_key_that_spoke_is_released(device: Device, spoken: bool) -> None:  # noqa: FBT001 - a case
    if spoken:
        await device.keyring.next_identifier(NOON)
    assert len(await device.keyring.release(TODAY, NOON)) == spoken


def test_a_key_comes_from_the_systems_randomness_and_not_from_a_seed() -> None:
    def first_key() -> TemporaryExposureKey:
        random.seed(1)
        ((_, answer),) = play(Keyring, [("rotate", 0)])
        assert answer is not None
        return answer[0]

    assert first_key().key != first_key().key
    assert len(first_key().key) == 16


async def test_an_identifier_that_was_refused_is_taken_once_more_and_uses_up_none(device: Device) -> None:
    first = await device.keyring.next_identifier(NOON)
    assert first is not None
    for _ in range(50):
        device.keyring.hand_back(*first)
        assert await device.keyring.next_identifier(NOON) == first
    following = await device.keyring.next_identifier(NOON)
    assert following is not None
    assert following[1] == NOON + 1


async def test_what_was_handed_back_is_not_spoken_after_its_time_or_once_its_key_is_published(device: Device) -> None:
    for harm in (lambda: device.keyring.release(TODAY, NOON), None):
        taken = await device.keyring.next_identifier(NOON)
        assert taken is not None
        device.keyring.hand_back(*taken)
        if harm is not None:
            await harm()
        again = await device.keyring.next_identifier(NOON if harm else Interval(taken[1] + 1))
        assert again not in {None, taken}
