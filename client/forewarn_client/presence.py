"""Whether a daemon works on a data folder: a lock that the system lets go of when the process ends, however it ends."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.files import make_folder

LOCK_FILE: Final = "daemon.lock"
"""Holds the process id of the daemon that has it locked."""
NUDGE: Final = signal.SIGURG
"""A process that does not expect it passes over it: an id that was given to somebody else meanwhile harms nobody."""


@contextmanager
def only_daemon(data: Path) -> Iterator[None]:
    """Hold the data folder's lock.

    Raises:
        BadInput: another daemon holds it.
        Missing: the folder can't be written.
    """
    try:
        make_folder(data, mode=0o700)
        descriptor = os.open(data / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise Missing(
            f"{data} cannot be written ({error.strerror}): give another --data, or its owner's rights"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"another daemon works on {data}: stop it, or give another --data") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d" % os.getpid(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def nudge(data: Path) -> None:
    """Let the daemon that works on a data folder, if there is one, look what its person wants of it."""
    with suppress(OSError, ValueError):  # no daemon, or one of another user: it looks at its next start
        if is_running(data):
            os.kill(int((data / LOCK_FILE).read_bytes()), NUDGE)


def is_running(data: Path) -> bool:
    """Tell whether a daemon holds the data folder's lock."""
    try:
        descriptor = os.open(data / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Missing(f"{data} cannot be read ({error.strerror}): check its owner") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
