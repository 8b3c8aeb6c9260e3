"""The index of export files: `index.json` (signed, with hashes and sizes) and `index.txt` (paths, oldest first)."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from forewarn_protocol.errors import BadFeed
from forewarn_protocol.feeds import MAX_INDEX_LIFE_S, Feed, FeedHead, FeedPart
from forewarn_protocol.wire import Items, parse_json

MAX_INDEX_BYTES: Final = 2 * 1024 * 1024
MAX_FILES: Final = 5_000
_SIMPLE_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)


def inside_its_folder(path: str) -> str:
    """Return a path that stays in the index's own folder wherever it is joined to it.

    Raises:
        ValueError: it does not, or holds a character that a URL or a file system could read in another way.
    """
    # No segment starts with a dot, so none is "." or ".."; no colon, backslash, percent sign or leading slash passes.
    if not _SIMPLE_PATH.fullmatch(path):
        raise ValueError("a path of an index must be relative, of letters, digits, dots, dashes and slashes")
    return path


class IndexEntry(FeedPart):
    """One export file: path relative to the index, SHA-256 in hex, size in bytes, number of keys."""

    path: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(inside_its_folder)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1, le=2**31)]
    keys: Annotated[int, Field(ge=0, le=2**31)]


class Index(Feed):
    """Which export files there are, oldest first."""

    files: Items[IndexEntry] = Field(default=(), max_length=MAX_FILES)

    @classmethod
    def of(cls, head: FeedHead, files: tuple[IndexEntry, ...]) -> Self:
        """Make the index of some files."""
        return cls(sequence=head.sequence, issued=head.issued, expires=head.expires, files=files)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read `index.json`.

        Raises:
            BadFeed: too large, no JSON, no index, or an entry that leaves the index's folder.
        """
        return parse_json(cls, body, error=BadFeed, limit_bytes=MAX_INDEX_BYTES)

    @model_validator(mode="after")
    def _lives_a_day_and_names_each_file_once(self) -> Self:
        if self.expires - self.issued > MAX_INDEX_LIFE_S:
            raise ValueError("an index expires within 24 hours of its issue")
        if len({entry.path for entry in self.files}) < len(self.files):
            raise ValueError("an index names a file twice")
        return self

    def text(self) -> str:
        """Return `index.txt`: one relative path a line, oldest first."""
        return "".join(f"{entry.path}\n" for entry in self.files)


def parse_index_text(text: str) -> tuple[str, ...]:
    """Read `index.txt`; lines that are empty are skipped.

    Raises:
        BadFeed: too large, or a path that leaves the index's folder.
    """
    lines = [line.strip() for line in text[: MAX_INDEX_BYTES + 1].splitlines() if line.strip()]
    if len(text) > MAX_INDEX_BYTES or len(lines) > MAX_FILES:
        raise BadFeed("an index.txt is larger than we read")
    try:
        return tuple(inside_its_folder(line) for line in lines)
    except ValueError as error:
        raise BadFeed(str(error)) from None
