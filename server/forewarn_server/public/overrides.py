"""What an operator may put beside the databases to change a feed: a JSON file, read anew for each issue."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from forewarn_protocol.errors import BadFeed, BadInput
from forewarn_shell.files import read_bounded

_MAX_BYTES: Final = 64 * 1024


def read_override(path: Path, allowed: Collection[str]) -> dict[str, Any]:
    """Return the fields of an operator's file; none when there is no file.

    Raises:
        BadFeed: no JSON object, or a field that the operator may not set: a slip must not pass for a setting.
    """
    if not path.is_file():
        return {}
    try:
        fields = json.loads(read_bounded(path, _MAX_BYTES))
    except BadInput as error:
        raise BadFeed(error.message) from error
    except (ValueError, RecursionError) as error:
        raise BadFeed(f"{path} is no JSON: mend it, or remove it to use the defaults") from error
    if not isinstance(fields, dict):
        raise BadFeed(f"{path} must hold one JSON object: mend it, or remove it to use the defaults")
    if strange := sorted(set(fields) - set(allowed)):
        raise BadFeed(f"{path} sets {strange[0]!r}: it may set {', '.join(sorted(allowed))}")
    return fields
