"""One hand at a time on the public folder, whichever process it belongs to."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_LOCK_FILE: Final = "public.lock"
_TRY_AGAIN_S: Final = 0.02


@asynccontextmanager
async def publishing_turn(data: Path) -> AsyncIterator[None]:
    """Wait until nobody else seals, signs or deletes public files of this data folder, and hold the turn.

    The kernel drops the lock with the process that holds it: a crash leaves nothing to clean up.
    """
    descriptor = os.open(data / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A thread blocked in the kernel could not be cancelled.
        while not _is_locked(descriptor):  # noqa: ASYNC110 - another process gives no sign when it is done
            await asyncio.sleep(_TRY_AGAIN_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
