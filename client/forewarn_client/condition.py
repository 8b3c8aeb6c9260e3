"""The one word on a device: running, stale, alert or call for help, with the reasons, for every place that shows it.

What it means for `check`: alert is 4 and 4 is alert; running is 0; 3 is stale or call. Stale and call may be 0 too:
`check` asks whether a match was missed, this asks whether the device does its work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.status import MATCH_IS_OLD_AFTER_S, Status
from forewarn_client.translations import say, say_span
from forewarn_client.trust import CLOCK
from forewarn_protocol.advice import LANGUAGES, Language

RADIO_NEEDS_HELP_AFTER_S: Final = 1800.0
"""The daemon asks a radio that failed each minute: what half an hour has not mended needs a hand."""
CLOCK_NEEDS_HELP_AFTER_S: Final = 24 * 3600.0
FORGETTING_NEEDS_HELP_AFTER_S: Final = 24 * 3600.0
MENDING_IS_NEWS_FOR_S: Final = 24 * 3600.0
NO_SCAN_IS_STRANGE_AFTER_S: Final = 3600.0
"""A scan that heard nobody is noted each quarter of an hour."""
SHOWN_REASONS: Final = 3

_RADIO_JOBS: Final = ("radio", "listen", "speak")
_SERVER_JOBS: Final = ("fetch-and-match", "server")
_LIVES_OFF_THE_SERVER: Final = frozenset({"chaff", "daily"})


class State(StrEnum):
    """What a device is, the gravest first."""

    ALERT = "alert"
    CALL = "call"
    STALE = "stale"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a device is in a state: the rule's name, the fault's own sentence, how long it has lasted."""

    state: State
    rule: str
    fault: str = ""
    lasts_s: float = 0.0

    def sentence(self, language: Language) -> str:
        """Say it, and what to do."""
        lasts = say_span(language, self.lasts_s)
        return say(language, f"condition.{self.rule}", fault=self.fault, lasts=lasts)


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of a device, with everything that speaks for it or for a lesser one, the gravest first."""

    state: State
    reasons: tuple[Reason, ...]

    def sentence(self, language: Language) -> str:
        """Say the state and why: one line for a person."""
        shown = self.reasons[:SHOWN_REASONS] or (Reason(State.RUNNING, "well"),)
        why = "; ".join(reason.sentence(language) for reason in shown)
        return f"{say(language, f'condition.{self.state}')}: {why}"

    def as_json(self) -> dict[str, Any]:
        """Return it for a program, the sentence in every language."""
        return {"condition": str(self.state), "reason": {language: self.sentence(language) for language in LANGUAGES}}


def condition_of(status: Status) -> Condition:
    """Tell what a device is.

    An alert goes before all else, because it concerns a person's health; what else is wrong is named beside it, for a
    person who is warned is to know whether the device still works. Help that is needed goes before what mends itself.
    """
    found = [reason for rule in _RULES if (reason := rule(status)) is not None]
    reasons = tuple(sorted(found, key=lambda reason: tuple(State).index(reason.state)))
    return Condition(reasons[0].state if reasons else State.RUNNING, reasons)


def _alert(status: Status) -> Reason | None:
    return Reason(State.ALERT, "exposed") if status.alerts else None


def _not_running(status: Status) -> Reason | None:
    return None if status.running else Reason(State.CALL, "not_running")


def _disk_is_full(status: Status) -> Reason | None:
    return Reason(State.CALL, "disk") if status.disk_is_full else None


def _paused(status: Status) -> Reason | None:
    until_s = status.paused_until_s
    if until_s is None:
        return None
    if until_s == UNTIL_RESUMED:
        return Reason(State.STALE, "paused")
    return Reason(State.STALE, "paused_for", lasts_s=until_s - status.now_s)


def _radio(status: Status) -> Reason | None:
    fault = _first_fault(status, _RADIO_JOBS)
    if fault is None or status.paused_until_s is not None:
        return None
    job, sentence = fault
    lasts_s = status.fault_lasts_s(job)
    needs_help = lasts_s >= RADIO_NEEDS_HELP_AFTER_S
    return Reason(State.CALL if needs_help else State.STALE, "radio", sentence, lasts_s)


def _clock(status: Status) -> Reason | None:
    if not status.running or status.clock_doubt is None:
        return None
    lasts_s = status.fault_lasts_s(CLOCK)
    needs_help = lasts_s >= CLOCK_NEEDS_HELP_AFTER_S
    return Reason(State.CALL if needs_help else State.STALE, "clock", lasts_s=lasts_s)


def _damaged(status: Status) -> Reason | None:
    return Reason(State.CALL, "damaged") if status.damaged_entries else None


def _mended(status: Status) -> Reason | None:
    # It works again, but whoever keeps the device is to look at its disk before the disk does it again.
    is_news = status.mended_s is not None and abs(status.now_s - status.mended_s) <= MENDING_IS_NEWS_FOR_S
    return Reason(State.CALL, "mended") if is_news else None


def _forgetting(status: Status) -> Reason | None:
    since_s = status.forgetting_overdue_since_s
    if since_s is None or not status.running:
        return None  # whoever starts the daemon starts its forgetting
    lasts_s = abs(status.now_s - since_s)
    if not status.clock_is_sure:
        return Reason(State.STALE, "forgetting_waits", lasts_s=lasts_s)
    needs_help = lasts_s >= FORGETTING_NEEDS_HELP_AFTER_S
    return Reason(State.CALL if needs_help else State.STALE, "forgetting", lasts_s=lasts_s)


def _match(status: Status) -> Reason | None:
    if status.last_match_s is None:
        return Reason(State.STALE, "never_matched")
    age_s = status.now_s - status.last_match_s
    if abs(age_s) <= MATCH_IS_OLD_AFTER_S:
        return None
    return Reason(State.STALE, "match_is_old" if age_s > 0 else "match_is_ahead", lasts_s=abs(age_s))


def _server(status: Status) -> Reason | None:
    fault = _first_fault(status, _SERVER_JOBS)
    return None if fault is None else Reason(State.STALE, "server", fault[1])


def _deaf(status: Status) -> Reason | None:
    """Find a device that has not listened for long, though nothing says why."""
    is_told = status.clock_doubt or status.paused_until_s is not None or _first_fault(status, _RADIO_JOBS)
    if not status.running or is_told or status.last_scan_s is None:
        return None
    lasts_s = abs(status.now_s - status.last_scan_s)
    return Reason(State.STALE, "deaf", lasts_s=lasts_s) if lasts_s > NO_SCAN_IS_STRANGE_AFTER_S else None


def _other_job(status: Status) -> Reason | None:
    told_elsewhere = {*_RADIO_JOBS, *_SERVER_JOBS, CLOCK}
    if _first_fault(status, _SERVER_JOBS):
        told_elsewhere |= _LIVES_OFF_THE_SERVER
    fault = _first_fault(status, sorted(status.faults.keys() - told_elsewhere))
    return None if fault is None else Reason(State.STALE, "job", f"{fault[0]}: {fault[1]}")


def _first_fault(status: Status, jobs: tuple[str, ...] | list[str]) -> tuple[str, str] | None:
    # What an earlier run left behind says nothing about now.
    return next(((job, status.faults[job]) for job in jobs if job in status.faults), None) if status.running else None


_RULES: Final[tuple[Callable[[Status], Reason | None], ...]] = (
    *(_alert, _not_running, _disk_is_full, _damaged, _mended),
    *(_paused, _radio, _clock, _forgetting, _match, _server, _deaf, _other_job),
)
