"""Makes the random keys that hide how many people reported."""

import random
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

from forewarn_protocol.keys import KEY_BYTES

REVISION_TAG_BYTES: Final = 32
COPIED: Final = (
    *("rolling_start", "rolling_period", "report_type", "transmission_risk", "onset_days"),
    # A key that was revised while it waited says so for ever: padding that never did would give it away.
    *("revised_report_type", "revised_onset_days"),
)
"""What a padding key takes over from a real key of its file; the rest is random, or the same for all of a file."""

# Drawn from the system: who could replay the draws would tell the padding from the real keys.
_SYSTEM: Final = random.SystemRandom()


def padding_keys(real: Sequence[Any], count: int) -> Iterator[dict[str, Any]]:
    """Give `count` rows for the table of keys, each copying `COPIED` from one of the real rows, drawn evenly.

    Drawing evenly keeps the proportions of the real keys: a start or a risk of one person is hidden among copies of it.
    A random revision tag belongs to no token, as a real one belongs to none that the table knows.
    """
    for _ in range(count):
        model = _SYSTEM.choice(real)
        copied = {name: getattr(model, name) for name in COPIED}
        yield {
            "key": secrets.token_bytes(KEY_BYTES),
            "revision_tag": secrets.token_bytes(REVISION_TAG_BYTES),
            **copied,
        }
