"""The passphrase of a moving diary: at least five different words, the same however they were typed."""

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput
from forewarn_shell.files import read_bounded

MIN_WORDS: Final = 5
MIN_LETTERS: Final = 2
"""In a word: many Vietnamese words have two, and single letters are no words."""
MAX_PASSPHRASE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What a person typed, reduced to its words: capitals, hyphens, spaces and the input method make no difference."""

    words: tuple[str, ...] = field(repr=False)

    @classmethod
    def typed(cls, text: str) -> Self:
        """Read a passphrase as it opens a file; one too weak to seal with can only be a wrong one."""
        # Vietnamese keyboards write one letter as one character or as letter and accents: NFKC makes them the same.
        plain = unicodedata.normalize("NFKC", text).casefold()
        return cls(tuple(plain.replace("-", " ").split()))

    def strong(self, language: Language) -> Self:
        """Return the passphrase if it may seal a file.

        Raises:
            BadInput: fewer than five different words of at least two letters.
        """
        words = {word for word in self.words if sum(map(str.isalpha, word)) >= MIN_LETTERS}
        if len(words) < MIN_WORDS:
            raise BadInput(say(language, "move.weak", words=MIN_WORDS, letters=MIN_LETTERS))
        return self

    def encode(self) -> bytes:
        """Return the bytes from which the key is made."""
        return " ".join(self.words).encode()


def from_file(path: Path, language: Language) -> Passphrase:
    """Read the passphrase from the first line of a file.

    Raises:
        BadInput: the file cannot be read, is too large, or is no text.
    """
    lines = read_bounded(path, MAX_PASSPHRASE_BYTES).splitlines()
    try:
        text = lines[0].decode("utf-8-sig") if lines else ""
    except UnicodeDecodeError:
        raise BadInput(say(language, "move.no_text", file=path)) from None
    return Passphrase.typed(text)
