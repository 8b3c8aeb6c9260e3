"""Files that the person names and that must not be there yet: theirs alone, whole, and never an older one's end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.files import sync_folder

_OWNER_ONLY: Final = 0o600


def demand_new(path: Path) -> None:
    """Refuse a file that is there, before anything is done for it.

    Raises:
        BadInput: it is.
    """
    if path.exists():
        raise _is_there(path)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing, durable when the block ends and gone when it raises.

    Raises:
        BadInput: there is a file of that name.
        Missing: it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise _is_there(path) from None  # or a link that leads nowhere
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _is_there(path: Path) -> BadInput:
    return BadInput(f"{path} is there already and is not overwritten: give another name")


def _refused(path: Path, error: OSError) -> Missing:
    return Missing(f"{path} cannot be written ({error.strerror}): nothing has changed, give another file")
