"""One thing that was looked at, how it is, what to do; and what all of them come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import ForewarnError, Missing
from forewarn_shell.command_line import EXIT_DONE, EXIT_MISSING, EXIT_NO


class Level(StrEnum):
    """How a thing is: `failure` keeps the tracer from its work, `warning` makes it work less well."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor; `missing`: the failure is a needed thing that is not there."""

    name: str
    level: Level
    sentence: str
    missing: bool = False

    @classmethod
    def ok(cls, name: str, sentence: str) -> Self:
        """Return a check that found nothing to do."""
        return cls(name, Level.OK, sentence)

    @classmethod
    def warning(cls, name: str, sentence: str) -> Self:
        """Return a check that found what makes the tracer work less well."""
        return cls(name, Level.WARNING, sentence)

    @classmethod
    def failure(cls, name: str, sentence: str, *, missing: bool = False) -> Self:
        """Return a check that found what keeps the tracer from its work."""
        return cls(name, Level.FAILURE, sentence, missing)

    @classmethod
    def refused(cls, name: str, error: ForewarnError) -> Self:
        """Return the failure that an error tells of."""
        return cls.failure(name, error.message, missing=isinstance(error, Missing))

    def as_json(self) -> dict[str, str]:
        """Return the line for a program."""
        return {"name": self.name, "level": self.level.value, "sentence": self.sentence}


@dataclass(frozen=True, slots=True)
class Findings:
    """All checks of one look."""

    checks: Sequence[Check]

    @property
    def exit_code(self) -> int:
        """The exit code of `doctor`: 3 if a needed thing is missing, else 1 if there is a failure, else 0."""
        failures = [check for check in self.checks if check.level is Level.FAILURE]
        if any(check.missing for check in failures):
            return EXIT_MISSING
        return EXIT_NO if failures else EXIT_DONE

    def as_json(self) -> dict[str, Any]:
        """Return the findings for a program."""
        return {"checks": [check.as_json() for check in self.checks], "exit": self.exit_code}

    def as_text(self, language: Language) -> str:
        """Return the findings for a person, and in the last line what they come to."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [f"{check.level.value:7}  {check.name.ljust(width)}  {check.sentence}" for check in self.checks]
        return "\n".join([*lines, self._summary(language)])

    def _summary(self, language: Language) -> str:
        levels = [check.level for check in self.checks]
        failures, warnings = levels.count(Level.FAILURE), levels.count(Level.WARNING)
        if failures:
            return say(language, "doctor.failures", failures=failures, warnings=warnings)
        return say(language, "doctor.warnings", warnings=warnings) if warnings else say(language, "doctor.well")
