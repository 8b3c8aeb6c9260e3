"""What the machine knows of its clock: whether a time service steers it, and what its real-time clocks say."""

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while no time service has set the kernel's clock, or none has for hours."""
_TIMEX_BYTES: Final = 512
"""More than any kernel's `struct timex` holds; all zero, it asks and changes nothing."""
_REAL_TIME_CLOCKS: Final = Path("/sys/class/rtc")
_AGREES_WITHIN_S: Final = 3600


def is_disciplined() -> bool:
    """Tell whether a time service (NTP, PTP, chrony, GPS) keeps the kernel's clock; False where nobody can say."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError, TypeError):  # another system than Linux
        return False
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state < _TIME_ERROR


def has_agreeing_real_time_clock(utc_s: float, folder: Path = _REAL_TIME_CLOCKS) -> bool:
    """Tell whether a battery-backed clock of this machine shows the same time, to the hour.

    One that shows another time has lost its battery, or keeps local time: it says nothing.
    """
    for clock in sorted(folder.glob("rtc*")):
        with suppress(OSError, ValueError):
            if abs(int((clock / "since_epoch").read_text()) - utc_s) <= _AGREES_WITHIN_S:
                return True
    return False
