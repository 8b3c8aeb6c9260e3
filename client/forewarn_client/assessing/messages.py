"""Questions and answers as they cross to the process that answers them, and back; a fault crosses as its sentence."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from forewarn_client.assessing.judgement import Judged
from forewarn_client.assessing.questions import Compared, Comparison, Judging
from forewarn_client.diary.database import Damaged, DiskFull
from forewarn_protocol.errors import BadExport, BadFeed, BadInput, ForewarnError, Missing, NotVerified

MAX_MESSAGE_BYTES: Final = 128 * 1024
"""Of one packet: sixteen export keys, or the verdicts of a fortnight, are far less."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the family: its name and its sentence."""

    name: str
    message: str

    @classmethod
    def of(cls, error: ForewarnError) -> "Fault":
        """Name an error by its nearest kind that is known on the other side."""
        name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS)
        return cls(name, error.message)

    def error(self) -> ForewarnError:
        """Return the error anew."""
        return _KINDS[self.name](self.message)


_KINDS: Final = {
    kind.__name__: kind
    for kind in (ForewarnError, BadExport, BadFeed, BadInput, Damaged, DiskFull, Missing, NotVerified)
}

QUESTION: Final = TypeAdapter[Comparison | Judging](Comparison | Judging)
ANSWER: Final = TypeAdapter[Compared | Judged | Fault](Compared | Judged | Fault)
