"""Reads every byte under a folder and tells which secrets still stand there, zips inflated."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_PIECE_BYTES: Final = 24
"""A long entry is spread over pages: its beginning and its end are looked for."""

Secrets = Mapping[str, Iterable[bytes]]
"""By kind, so that a test can say which kind should still be there and which should not."""


def bytes_under(folder: Path, pattern: str = "*") -> bytes:
    """Return the content of every file under `folder`, hidden and temporary ones included, names too."""
    parts = []
    for path in sorted(folder.rglob(pattern)):
        parts.append(path.name.encode())
        if path.is_file():
            content = path.read_bytes()
            parts.append(content)
            # Deflate would hide what a zip holds.
            if zipfile.is_zipfile(io.BytesIO(content)):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    parts += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(parts)


def found(folder: Path, secrets: Secrets, pattern: str = "*") -> dict[str, int]:
    """Count, for each kind, the secrets of which a piece stands in any file under `folder` that fits the pattern."""
    content = bytes_under(folder, pattern)
    return {
        kind: sum(each[:_PIECE_BYTES] in content or each[-_PIECE_BYTES:] in content for each in values)
        for kind, values in secrets.items()
    }


def all_of(secrets: Secrets) -> dict[str, int]:
    """Return what `found` says where every secret is there."""
    return {kind: len(list(values)) for kind, values in secrets.items()}


def none_of(secrets: Secrets) -> dict[str, int]:
    """Return what `found` says where no secret is left."""
    return dict.fromkeys(secrets, 0)
