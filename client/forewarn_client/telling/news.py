"""What of a state is news to its owner's screen, and in which words.

A screen is seen by others, locked or not: no notification says that its owner was near somebody infected. It says that
there is a message, and where to read it; an alert and the end of one look alike.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from forewarn_client.condition import State
from forewarn_client.translations import say
from forewarn_protocol.advice import Language
from forewarn_protocol.errors import BadInput
from forewarn_shell.files import read_bounded, write_durably

_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Notification:
    """What a screen shows; `urgent`: until it is dismissed."""

    title: str
    body: str
    urgent: bool


@dataclass(slots=True)
class Told:
    """What was shown before, kept while it stands: a program that is started anew says nothing twice.

    `path` lies in the session's own folder in memory: nothing of an alert outlives the session.
    """

    path: Path | None
    days: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    called: bool = False

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read what an earlier run kept; nothing where there is none, or where it is damaged."""
        told = cls(path)
        if path is not None:
            with suppress(BadInput, ValueError, KeyError, TypeError):
                kept = json.loads(read_bounded(path, _LIMIT_BYTES))
                told.days, told.withdrawn = {str(day) for day in kept["days"]}, {str(day) for day in kept["withdrawn"]}
                told.called = kept["called"] is True
        return told

    def news_in(self, state: Mapping[str, Any], language: Language) -> list[Notification]:
        """Return what is to be shown of a state, and remember it; `keep` makes that outlive this program.

        Raises:
            BadInput: the state has another form.
        """
        try:
            days = {str(alert["day"]) for alert in state["alerts"]}
            withdrawn = {str(withdrawal["day"]) for withdrawal in state["withdrawn"]}
            called = state["condition"] == State.CALL
            reason = str(state["reason"][language])
        except (KeyError, TypeError) as error:
            raise BadInput("the daemon tells its state in another form: update Forewarn here and there") from error
        found = []
        if days - self.days or withdrawn - self.withdrawn:
            found.append(Notification(say(language, "news.message"), say(language, "news.read"), urgent=True))
        if called and not self.called:
            found.append(Notification(say(language, "news.help"), reason, urgent=False))
        # Only what stands: what the device has forgotten is forgotten here too.
        self.days, self.withdrawn = days, withdrawn
        # A fault that comes and goes is one call, until the device has worked in between.
        self.called = called or (self.called and state["condition"] != State.RUNNING)
        return found

    def keep(self) -> None:
        """Write it down, if there is a place; without one, a restart tells what stands once more."""
        if self.path is not None:
            kept = {"days": sorted(self.days), "withdrawn": sorted(self.withdrawn), "called": self.called}
            with suppress(OSError):
                write_durably(self.path, json.dumps(kept).encode(), mode=0o600)
