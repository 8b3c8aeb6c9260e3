import runpy
from types import SimpleNamespace

from forewarn_server.exports import padding

DRAWN = 200


def models_drawn_after_a_start() -> list[int]:
    """Run the module anew, as a server that starts, and tell which real key each padding key copied."""
    real = [SimpleNamespace(**dict.fromkeys(padding.COPIED, 0) | {"rolling_start": place}) for place in range(1_000)]
    assert padding.__file__
    return [row["rolling_start"] for row in runpy.run_path(padding.__file__)["padding_keys"](real, DRAWN)]


def test_who_starts_the_server_again_cannot_replay_which_keys_the_padding_copied() -> None:
    first, second = models_drawn_after_a_start(), models_drawn_after_a_start()
    assert len(first) == DRAWN
    assert first != second
