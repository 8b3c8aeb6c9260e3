"""What two devices on a bench say to each other, and what nobody else can be taken for."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from forewarn_client.calibrating.estimating import Heard, Known
from forewarn_client.calibrating.frames import MOST_SAMPLES, Answer, Turn, _tag, decode, encode
from forewarn_protocol.identifiers import crypt_metadata, identifiers
from forewarn_protocol.intervals import INTERVALS_PER_DAY, interval_at
from forewarn_protocol.metadata import Metadata


def tenths(least: float, most: float) -> st.SearchStrategy[float]:
    return st.integers(int(least * 10), int(most * 10)).map(lambda number: number / 10)


TURNS = st.builds(Turn, st.binary(min_size=3, max_size=3), st.integers(1, 15))
KNOWNS = st.builds(Known, tenths(-50, 20), tenths(-40, 40))
HEARDS = st.builds(Heard, tenths(-127, 20), tenths(0, 25), st.integers(1, MOST_SAMPLES))
ANSWERS = st.builds(Answer, st.binary(min_size=2, max_size=2), KNOWNS, TURNS, st.none() | HEARDS)


@given(TURNS | ANSWERS, st.text(max_size=20))
def test_a_frame_comes_back_at_its_own_bench_and_at_no_other(frame: Turn | Answer, word: str) -> None:
    said = encode(frame, word).service_data
    assert len(said) == 20
    assert decode(said, word) == frame
    assert decode(said, word + "x") is None


@given(st.binary(max_size=40) | st.binary(min_size=20, max_size=20))
@example(b"")
@example(b"fw" + bytes(18))
def test_other_bytes_are_no_frame(data: bytes) -> None:
    assert decode(data, "") is None


@given(TURNS | ANSWERS, st.integers(0, 159))
def test_a_frame_with_a_flipped_bit_is_no_frame(frame: Turn | Answer, bit: int) -> None:
    said = bytearray(encode(frame, "bench").service_data)
    said[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(said), "bench") is None


@given(st.binary(min_size=16, max_size=16) | st.binary(min_size=14, max_size=14).map(b"fw".__add__))
@example(b"fw" + bytes([0x20]) + b"idses" + b"\x7f\xff" * 3 + b"\x01\x01")  # a reference of 3276.7 dBm
def test_a_forger_who_knows_the_word_makes_frames_of_possible_devices_and_nothing_else(body: bytes) -> None:
    frame = decode(body + _tag(body, "bench"), "bench")
    if isinstance(frame, Answer):
        assert -50 <= frame.known.tx_power_dbm <= 20
    if frame is not None:
        assert body.startswith(b"fw")


def test_no_identifier_of_a_day_is_taken_for_a_frame() -> None:
    day = interval_at(datetime(2025, 6, 16, tzinfo=UTC).timestamp())
    for number in range(20):
        tek = bytes([number]) * 16
        for rpi in identifiers(tek, day, INTERVALS_PER_DAY):
            assert decode(rpi + crypt_metadata(tek, rpi, Metadata(-20).encode()), "") is None
