"""What `status` and `check` tell a person: whether the daemon works, and why not; what it last did; what to do."""

import shutil
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from forewarn_client import board, damage, erasures
from forewarn_client.alerts import alerts_as_json, alerts_in_words
from forewarn_client.board import JsonValue
from forewarn_client.device import Device
from forewarn_client.erasures import Erasure
from forewarn_client.forgetting import first_kept_day, overdue_since_s
from forewarn_client.pausing import UNTIL_RESUMED, pause_of
from forewarn_client.presence import is_running
from forewarn_client.trust import CLOCK
from forewarn_client.withdrawals import withdrawn_alerts
from forewarn_protocol.intervals import iso_utc

NOTHING_TO_DO: Final = 0
CANNOT_KNOW: Final = 3
ALERT_IS_ACTIVE: Final = 4
MATCH_IS_OLD_AFTER_S: Final = 24 * 3600
DISK_IS_FULL_BELOW_BYTES: Final = 64 * 1024
_DISK_IS_FULL: Final = "full, nothing new is spoken, recorded or matched: free some space"
CLOCK_IS_WRONG_AFTER_S: Final = 120
"""Matching tolerates two hours; a device's clock that is minutes off has lost its time service."""


@dataclass(frozen=True, slots=True)
class Status:
    """One look at a device; times are Unix seconds, None means never.

    `faults` are sentences by job, `faults_since_s` since when each job has had one; `encounters` counts of identifiers
    heard by UTC day; `damaged_entries` of the diary are passed over wherever it is read; `alerts` are the alerts that
    stand, `withdrawn` those that were taken back, as JSON, and `alert_lines` and `withdrawn_lines` the same in the
    person's language. `strange_sightings` says of which anomaly of published keys' sightings there were few or many.
    `paused_until_s` is infinite where only the person ends the pause; `silent`: the daemon has heeded it.
    """

    now_s: float
    running: bool
    last_scan_s: float | None = None
    last_download_s: float | None = None
    last_match_s: float | None = None
    clock_offset_s: float | None = None
    forgetting_overdue_since_s: float | None = None
    erasures: list[Erasure] = field(default_factory=list)
    clock_is_sure: bool = True
    alerts: list[dict[str, Any]] = field(default_factory=list)
    alert_lines: list[str] = field(default_factory=list)
    withdrawn: list[dict[str, Any]] = field(default_factory=list)
    withdrawn_lines: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    faults_since_s: dict[str, float] = field(default_factory=dict)
    encounters: dict[date, int] = field(default_factory=dict)
    damaged_entries: int = 0
    mended_s: float | None = None
    disk_is_full: bool = False
    strange_sightings: dict[str, str] = field(default_factory=dict)
    paused_until_s: float | None = None
    silent: bool = False

    @property
    def clock_doubt(self) -> str | None:
        """Why the daemon does not believe the clock, and so neither speaks nor records."""
        return self.faults.get(CLOCK)

    def fault_lasts_s(self, job: str) -> float:
        """Return how long a job has had a fault; 0 where that is not known."""
        return abs(self.now_s - self.faults_since_s.get(job, self.now_s))

    @property
    def check(self) -> int:
        """The exit code of `check`."""
        if self.alerts:
            return ALERT_IS_ACTIVE
        # Whoever is near in a pause is in no diary.
        if self.clock_doubt or self.disk_is_full or self.paused_until_s is not None:
            return CANNOT_KNOW
        # A match from the future is as good as none: the clock was set back since.
        age_s = None if self.last_match_s is None else self.now_s - self.last_match_s
        return NOTHING_TO_DO if age_s is not None and abs(age_s) <= MATCH_IS_OLD_AFTER_S else CANNOT_KNOW

    @property
    def check_text(self) -> str:
        """What the exit code of `check` means, and what to do; and which warnings are over."""
        lines = self.alert_lines if self.check == ALERT_IS_ACTIVE else [self._no_alert_sentence()]
        return "\n".join([*lines, *self.withdrawn_lines])

    def _no_alert_sentence(self) -> str:
        if self.check == NOTHING_TO_DO:
            return "nothing to do: no alert, and the last match is recent"
        if self.disk_is_full:
            return f"can't know: the disk is {_DISK_IS_FULL}"
        if self.clock_doubt:
            return f"can't know: this device's clock: {self.clock_doubt}"
        if self.paused_until_s is not None:
            return f"can't know: {self._pause_sentence(self.paused_until_s)}"
        what = "nothing was matched yet" if self.last_match_s is None else "the last match is over 24 h old"
        hint = "is the server reachable? ('status' says more)" if self.running else "start the daemon with 'run'"
        return f"can't know: {what}; {hint}"

    def as_json(self) -> dict[str, Any]:
        """Return the status for a program; times are ISO 8601 in UTC."""
        return {
            "running": self.running,
            "paused": self.paused_until_s is not None,
            "paused_until": None if self.paused_until_s == UNTIL_RESUMED else _iso(self.paused_until_s),
            "silent": self.silent,
            "faults": self.faults,
            "last_scan": _iso(self.last_scan_s),
            "last_download": _iso(self.last_download_s),
            "last_match": _iso(self.last_match_s),
            "encounters": {day.isoformat(): count for day, count in self.encounters.items()},
            "damaged_entries": self.damaged_entries,
            "mended": _iso(self.mended_s),
            "disk_is_full": self.disk_is_full,
            "strange_sightings": self.strange_sightings,
            "clock_offset_s": self.clock_offset_s,
            "forgetting_overdue_since": _iso(self.forgetting_overdue_since_s),
            "erasures": [erasure.as_json() for erasure in self.erasures],
            "alerts": self.alerts,
            "withdrawn": self.withdrawn,
            "check": self.check,
        }

    def as_text(self) -> str:
        """Return the status for a person."""
        lines = [
            ("daemon", "running" if self.running else "not running: start it with 'run'"),
            *([("pause", self._pause_sentence(self.paused_until_s))] if self.paused_until_s is not None else []),
            *((f"  {job}", sentence) for job, sentence in sorted(self.faults.items()) if job != CLOCK),
            ("last scan", self._ago(self.last_scan_s)),
            ("last download", self._ago(self.last_download_s)),
            ("last match", self._ago(self.last_match_s)),
            (CLOCK, self.clock_doubt or _clock_sentence(self.clock_offset_s)),
            ("forgetting", self._forgetting_sentence()),
            ("alerts", "none" if not self.alerts else "see below"),
            *([("disk", _DISK_IS_FULL)] if self.disk_is_full else []),
            *([("mended", self._mended_sentence(self.mended_s))] if self.mended_s is not None else []),
            *([("damaged", self._damage_sentence())] if self.damaged_entries else []),
            *([("strange", self._strange_sentence())] if self.strange_sightings else []),
            ("encounters", "none in the diary" if not self.encounters else "identifiers heard, by UTC day"),
            *((f"  {day.isoformat()}", str(count)) for day, count in self.encounters.items()),
        ]
        width = max(len(name) for name, _ in lines)
        shown = [f"{name.ljust(width)}  {value}" for name, value in lines]
        return "\n".join([*shown, *self.alert_lines, *self.withdrawn_lines])

    def _pause_sentence(self, until_s: float) -> str:
        until = "" if until_s == UNTIL_RESUMED else f" until {iso_utc(until_s)}"
        # Without a daemon nothing is on the air either.
        what = "nothing is spoken or recorded" if self.silent or not self.running else "about to fall silent"
        return f"paused{until}, {what}: 'resume' ends it"

    def _ago(self, then_s: float | None) -> str:
        if then_s is None:
            return "never"
        minutes = round((self.now_s - then_s) / 60)
        hours = f"{minutes // 60} h " if minutes >= 60 else ""  # noqa: PLR2004 - minutes in an hour
        age = f" ({hours}{minutes % 60} min ago)" if minutes >= 0 else " (in the future: was the clock set back?)"
        return iso_utc(then_s) + age

    def _damage_sentence(self) -> str:
        what = "1 entry of the diary" if self.damaged_entries == 1 else f"{self.damaged_entries} entries of the diary"
        return f"{what} can no longer be read, the rest serves: check the disk; 'erase' starts anew"

    def _mended_sentence(self, when_s: float) -> str:
        return f"the diary was damaged and begun anew on {iso_utc(when_s)}, with all that could be read: check the disk"

    def _strange_sentence(self) -> str:
        kinds = ", ".join(f"{amount} {kind}" for kind, amount in self.strange_sightings.items())
        return f"sightings that were left out or capped: {kinds}; many can mean that somebody replays identifiers"

    def _forgetting_sentence(self) -> str:
        if self.forgetting_overdue_since_s is not None:
            hint = "close other programs that read the diary" if self.running else "start the daemon with 'run'"
            if self.running and not self.clock_is_sure:
                hint = "waits until the clock is sure"
            return f"overdue since {iso_utc(self.forgetting_overdue_since_s)}: {hint}"
        if not self.erasures:
            return "up to date"
        return f"up to date: what was before {self.erasures[-1].first_kept.isoformat()} is gone"


async def look(device: Device) -> Status:
    """Gather the status of a device, reading its whole diary: seconds of work after a fortnight in a crowd."""
    return replace(
        await glance(device),
        encounters=await device.diary.encounters_per_day(await device.database.read(first_kept_day, device)),
        damaged_entries=await damage.count(device),
    )


async def glance(device: Device) -> Status:
    """Gather what is known without reading the diary: no encounters, and the damage that the daemon knows of."""
    now_s = device.clock.utc()
    values = await device.status.read()
    withdrawn = await withdrawn_alerts(device)
    return Status(
        now_s=now_s,
        running=is_running(device.settings.data),
        last_scan_s=_seconds(values, board.LAST_SCAN),
        last_download_s=_seconds(values, board.LAST_DOWNLOAD),
        last_match_s=_seconds(values, board.LAST_MATCH),
        clock_offset_s=_seconds(values, board.CLOCK_OFFSET),
        forgetting_overdue_since_s=await device.database.read(overdue_since_s, now_s),
        erasures=await device.database.read(erasures.recorded),
        clock_is_sure=(await device.trust.look()).sure,
        alerts=await alerts_as_json(device),
        alert_lines=await alerts_in_words(device),
        withdrawn=[withdrawal.as_json() for withdrawal in withdrawn],
        withdrawn_lines=[withdrawal.sentence(device.settings.language) for withdrawal in withdrawn],
        faults={job: str(sentence) for job, sentence in _after(board.FAULT_PREFIX, values).items()},
        faults_since_s={
            job: float(since_s)
            for job, since_s in _after(board.FAULT_SINCE_PREFIX, values).items()
            if isinstance(since_s, int | float)
        },
        damaged_entries=damaged if isinstance(damaged := values.get(board.DAMAGED_ENTRIES), int) else 0,
        mended_s=_seconds(values, board.MENDED_S),
        disk_is_full=shutil.disk_usage(device.settings.data).free < DISK_IS_FULL_BELOW_BYTES,
        paused_until_s=pause_of(values.get(board.PAUSED_UNTIL), now_s),
        silent=values.get(board.SILENT) is True,
        strange_sightings=strange if isinstance(strange := values.get(board.STRANGE_SIGHTINGS), dict) else {},
    )


def _after(prefix: str, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _seconds(values: dict[str, JsonValue], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else None


def _iso(unix_s: float | None) -> str | None:
    return None if unix_s is None else iso_utc(unix_s)


def _clock_sentence(offset_s: float | None) -> str:
    if offset_s is None:
        return "not yet compared with the server's"
    if abs(offset_s) <= CLOCK_IS_WRONG_AFTER_S:
        return "agrees with the server's"
    direction = "behind" if offset_s > 0 else "ahead of"
    return f"{abs(offset_s) / 60:.0f} min {direction} the server's: set this device's clock"
