"""One hand at a time on the public folder, whichever process it belongs to."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_LOCK_FILE: Final = "public.lock"


@asynccontextmanager
async def publishing_turn(data: Path) -> AsyncIterator[None]:
    """Wait until nobody else seals, signs or deletes public files of this data folder, and hold the turn.

    The kernel drops the lock with the process that holds it: a crash leaves nothing to clean up.
    """
    descriptor = os.open(data / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Also ends a wait that was cancelled: the thread's lock dies with the last reference to the open file.
        os.close(descriptor)
