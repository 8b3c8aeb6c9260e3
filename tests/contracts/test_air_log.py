"""The judgement of an air log, on logs made by hand: what is in order passes, and each fault is found."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from tests.contracts.air_log import AirLog, Sent, Window, arrived, faults, gaps_s, links, lives, silences_s, stays

ROTATIONS = 5
BIRTHS_S = {"a": [0.0, 40.0], "b": [0.0]}


def made(
    random: Random,
    gap_s: Callable[[], float] | None = None,
    interval_s: Callable[[], float] | None = None,
) -> list[Sent]:
    """Return what two devices send in 80 s, the first of which is restarted in the middle."""
    log = []
    for sender, births_s in BIRTHS_S.items():
        for begins_s, ends_s in zip(births_s, [*births_s[1:], 80.0], strict=True):
            at_s = begins_s + 1
            while at_s < ends_s - 1:
                address = bytes([random.randrange(64), *random.randbytes(5)])
                data = bytes.fromhex("02011a03036ffd17166ffd") + random.randbytes(20)
                until_s = min(at_s + (gap_s or (lambda: random.uniform(8, 12)))(), ends_s - 1)
                step_s = (interval_s or (lambda: random.uniform(0.2, 0.27)))()
                for number in count():
                    sent_s = at_s + number * (step_s + 0.005) + random.uniform(0, 0.01)
                    if sent_s >= until_s - 0.3:
                        break
                    log.append(Sent(sent_s, sender, address, data))
                at_s = until_s
    return sorted(log, key=lambda sent: sent.at_s)


def judged(log: list[Sent], **given: bool) -> list[str]:
    return faults(log, BIRTHS_S, rotations=ROTATIONS, **given)


def test_devices_that_keep_to_the_rules_are_found_in_order() -> None:
    for seed in range(12):
        assert judged(made(Random(seed))) == []


def spoilt(spoil: Callable[[Sent, list[Sent]], Sent]) -> list[str]:
    log = made(Random(1))
    return judged([spoil(sent, log) for sent in log])


def first_of(sender: str, log: list[Sent]) -> Sent:
    return next(sent for sent in log if sent.sender == sender)


def test_an_address_that_stays_is_found() -> None:
    assert spoilt(lambda sent, log: replace(sent, address=first_of(sent.sender, log).address)) == [
        "one address spoke two identifiers"
    ]


def test_an_identifier_under_a_second_address_is_found() -> None:
    log = made(Random(1))
    last = log[-1]
    assert judged([*log, replace(last, at_s=last.at_s + 0.2, address=bytes([1, 2, 3, 4, 5, 6]))]) == [
        "one identifier was spoken under two addresses"
    ]


def test_an_identifier_of_before_a_restart_is_found_even_under_its_address() -> None:
    log = made(Random(1))
    again = first_of("a", log)
    assert judged([*log, replace(again, at_s=79)]) == ["an identifier came back after another"]


def test_two_identifiers_at_once_are_found() -> None:
    one, other = (Sent(0, "a", bytes([number] * 6), bytes([number]) * 20) for number in (1, 2))
    overlapping = [replace(one if turn in {0, 1, 3} else other, at_s=turn) for turn in range(5)]
    assert links(overlapping) == ["an identifier came back after another"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"address": bytes([0x40, 1, 2, 3, 4, 5])}, "an address is not random and non-resolvable"),
        ({"address": bytes.fromhex("f00000000000")}, "an address is not random and non-resolvable"),
        ({"connectable": True}, "an advertisement is connectable"),
    ],
)
def test_one_wrong_advertisement_is_found(change: dict[str, object], fault: str) -> None:
    log = made(Random(1))
    assert judged([*log, replace(log[-1], data=bytes(31), sender="a", **{"address": bytes(6), **change})]) == [fault]


def test_32_bytes_are_found() -> None:
    log = made(Random(1))
    assert judged([*log, replace(log[-1], data=bytes(32), address=bytes(6))]) == [
        "an advertisement is longer than 31 bytes"
    ]


def test_a_rotation_on_the_dot_is_found_though_a_restart_makes_odd_gaps() -> None:
    for seed in range(6):
        random = Random(seed)
        log = made(random, gap_s=lambda: 10 + random.uniform(-0.1, 0.1))  # noqa: B023 - called here
        assert faults(log, BIRTHS_S, rotations=4) == ["the gaps between rotations are not random"]


def test_a_fixed_interval_is_found_unless_the_radio_has_no_say() -> None:
    for seed in range(6):
        log = made(Random(seed), interval_s=lambda: 0.25)
        assert judged(log) == ["the intervals are not random"]
        assert judged(log, drawn_intervals=False) == []


def test_too_few_rotations_and_an_empty_log_are_found() -> None:
    log = [sent for sent in made(Random(1)) if sent.at_s < 40]
    assert judged(log) == [f"a device rotated less than {ROTATIONS} times"]
    assert f"a device rotated less than {ROTATIONS} times" in judged([])


def test_gaps_and_silences_are_those_of_one_life() -> None:
    log = [Sent(at_s, "a", bytes(6), bytes([number]) * 20) for at_s, number in ((0, 1), (1, 1), (3, 2), (9, 3))]
    (one, other) = lives(log, {"a": [0, 5]})["a"]
    assert (gaps_s(one), silences_s(one), gaps_s(other)) == ([3], [2], [])
    assert [stay.times_s for stay in stays(log)] == [[0, 1], [3], [9]]


def test_a_log_is_read_and_what_a_receiver_was_offered_counted_while_its_controller_scanned() -> None:
    ident = "ab" * 20
    spoken = [f"{at_s} hci0 speaks 010203040506 {ident}" for at_s in (0.5, 1.5, 2.5, 3.5, 4.9)]
    log = AirLog.read("\n".join([*spoken[:1], "1.0 hci1 scans", *spoken[1:], "5.0 hci1 rests", "6 hci1 refuses X"]))
    window = Window(0.0, 5.0, heard=[(1.6, ident, -60), (3.6, ident, -61), (3.7, "cd" * 20, -62)])
    offered = log.offered("hci1", window)
    assert [sent.at_s for sent in offered] == [1.5, 2.5, 3.5]
    assert arrived(offered, window) == 2
    assert log.offered("hci0", window) == []
    assert log.refused == ["hci1 X"]
    assert AirLog.read("1 hci0 speaks-connectably 01 02").sent[0].connectable
