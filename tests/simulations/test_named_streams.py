import numpy as np

from forewarn_simulations.named_streams import NamedStreams, normals, uniforms

COUNTERS = np.arange(200_000, dtype=np.int64)


def test_a_stream_is_the_same_whoever_asks_first_and_whatever_else_is_drawn() -> None:
    alone = NamedStreams(7).generator("seat", "An").random(3)
    streams = NamedStreams(7)
    streams.generator("something new").random(100)
    assert (streams.generator("seat", "An").random(3) == alone).all()


def test_names_and_seeds_give_different_streams() -> None:
    keys = {NamedStreams(seed).key(*name) for seed in (1, 2) for name in (("a",), ("b",), ("a", 1), ("a", "1"))}
    assert len(keys) == 8


def test_counters_may_be_asked_for_in_any_order() -> None:
    assert (uniforms(5, COUNTERS)[::-1] == uniforms(5, COUNTERS[::-1])).all()
    assert uniforms(5, COUNTERS[77:78])[0] == uniforms(5, COUNTERS)[77]


def test_the_numbers_have_the_moments_of_their_distributions() -> None:
    flat = uniforms(11, COUNTERS)
    first, second = normals(11, COUNTERS)
    assert 0 < flat.min() < flat.max() < 1
    assert abs(flat.mean() - 0.5) < 0.003
    assert abs(flat.std() - 12**-0.5) < 0.003
    for numbers in (first, second):
        assert abs(numbers.mean()) < 0.01
        assert abs(numbers.std() - 1) < 0.01
        assert abs((numbers**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.01
