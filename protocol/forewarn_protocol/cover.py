"""Cover traffic: what makes a report look like what every device sends anyway."""

from typing import Final

CHAFF_HEADER: Final = "X-Chaff"
"""On a request that says nothing: it is answered like a real one, and nothing is stored."""

REAL_HEADER: Final = "X-Equal"
"""On a real request, and as long as the other name: padding in the body instead would show as two records of TLS."""

DAILY_BYTES: Final = 1024
"""The daily message and its answer. Random bytes are the message that says nothing."""
