import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_client.diary.block import MAX_SAMPLES, ScanWindow, strongest
from forewarn_protocol.advertisement import Payload
from forewarn_protocol.errors import BadInput
from forewarn_protocol.sightings import Sighting

samples = st.lists(st.tuples(st.integers(0, 65535), st.integers(-126, 20)), min_size=1, max_size=30)
bursts = st.dictionaries(st.binary(min_size=20, max_size=20), samples, max_size=8)


@given(st.floats(0, 2e9), st.none() | st.floats(0, 1e6, width=32), bursts)
def test_a_scan_window_survives_its_block(
    start_s: float, since_s: float | None, heard: dict[bytes, list[tuple[int, int]]]
) -> None:
    window = ScanWindow(start_s, since_s, heard)
    assert ScanWindow.decode(window.encode()) == window
    assert len(list(window.sightings())) == window.count


@given(st.binary(max_size=200))
def test_any_bytes_are_a_scan_window_or_bad_input(block: bytes) -> None:
    for data in (block, ScanWindow(0, None, {}).encode() + block):
        try:
            ScanWindow.decode(data)
        except BadInput:
            continue


@pytest.mark.parametrize("left", [left for left in range(43) if left != 13])  # 13 bytes are a window without bursts
def test_a_block_that_is_cut_off_is_refused(left: int) -> None:
    block = ScanWindow(1.0, None, {bytes(20): [(0, -50)] * 3}).encode()
    assert len(block) == 43
    with pytest.raises(BadInput):
        ScanWindow.decode(block[:left])


def test_one_identifier_fills_at_most_its_share_of_a_block() -> None:
    window = ScanWindow(1.0, None, {bytes(20): [(0, -50)] * (MAX_SAMPLES + 45)})
    assert ScanWindow.decode(window.encode()).count == MAX_SAMPLES


def test_sightings_of_one_window_keep_their_times() -> None:
    payload = Payload.from_service_data(bytes(20))
    sightings = [Sighting(payload, -60 - i, 1_750_000_000.25 + i, 200.0) for i in range(3)]
    assert list(ScanWindow.of(sightings).sightings()) == sightings
    with pytest.raises(BadInput):
        ScanWindow.of([])


def test_of_too_many_sightings_the_strongest_identifiers_stay() -> None:
    heard = {bytes([i] * 20): [(0, -90 + i), (1, -100)] for i in range(10)}
    kept = strongest(heard, 5)
    assert set(kept) == {bytes([i] * 20) for i in (9, 8, 7)}
    assert sum(map(len, kept.values())) == 5


def test_a_window_shows_no_identifier() -> None:
    assert "B" not in repr(ScanWindow(1.0, None, {b"B" * 20: [(0, -1)]}))
