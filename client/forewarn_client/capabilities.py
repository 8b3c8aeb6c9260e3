"""Keeps the daemon's capabilities to itself: no program that it starts has them."""

import ctypes
from typing import Final

_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


def hand_on_none() -> None:
    """Let whatever this thread starts from now on have no capability; the process keeps its own.

    A unit may give the daemon CAP_NET_ADMIN (capabilities(7), 'Transformation of capabilities during execve').
    """
    ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
