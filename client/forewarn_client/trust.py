"""Whether this device's clock is believed, and which time has certainly been reached.

Nothing is spoken or recorded by a clock that is not believed. Forgetting asks for more, because it cannot be undone: a
day is forgotten when two witnesses say that it is over, the clock and one that a step of the clock does not move.

What speaks for or against a clock, and what it is used for:

- `issued` of the newest signed feeds: the authority's word that this time has been reached. A bound from below only,
  for an old feed can be replayed. Nothing overrules it; a feed with a higher sequence takes its place.
- the server's Date: names the time itself, but nobody signs it. It decides where TLS names the server, or where the
  feeds were signed within two hours of it; else it may only contradict a clock that no time service keeps.
- the device's own count: the time when it last believed its clock, plus monotonic seconds. Shows every step.
- the last sure time in the diary: the count's bound from below over a restart.
- a time service, or a real-time clock, tells first what time it is. Neither is authenticated.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from forewarn_client.board import CLOCK_SURE_PREFIX, SCAN_MAY_LAG_S, StatusBoard, read_all
from forewarn_client.config import ClientSettings
from forewarn_client.connection import ServerTime
from forewarn_client.diary.database import Database
from forewarn_client.feed_keys import is_pinned
from forewarn_client.translations import say, say_span
from forewarn_protocol.advice import Language
from forewarn_shell.clock import Clock, Keeper

TOLERATED_S: Final = 3600.0
"""Matching tolerates two hours: two devices may err by one each, in opposite directions."""
FRESH_S: Final = 2 * 3600.0
"""A server signs its feeds each hour."""
SURE_GAP_S: Final = 2 * 24 * 3600.0
"""So far a clock may be ahead of what is known and still be sure: a weekend switched off."""
CONFIRMED_AFTER_S: Final = 24 * 3600.0
"""A clock that nothing contradicts for so long is sure: a closed site has no other witness."""
LOOK_AGAIN_S: Final = 30.0
CLOCK: Final = "clock"
"""The name in the status under which a doubt stands."""

_SERVER: Final = Keeper.TIME_SERVICE + 1


@dataclass(frozen=True, slots=True)
class Count:
    """What the clock should show by this device's own count, and how well it was kept when the count began."""

    should_be_s: float
    age_s: float
    keeper: int
    sure: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at one moment; times are Unix seconds, None where there is no such witness.

    `written_as_well_kept_s` leaves out what was written by a clock that was kept less well than now: a real-time clock
    that was ahead must not hold up the time service that has set it right. `server_decides`: the server's Date is more
    than a stranger's word.
    """

    now_s: float
    keeper: Keeper
    signed_s: float | None = None
    written_s: float | None = None
    written_as_well_kept_s: float | None = None
    count: Count | None = None
    server_s: float | None = None
    server_decides: bool = False

    @property
    def known_s(self) -> float | None:
        """The latest time that has certainly been reached, whatever the clock shows."""
        counted = self.count.should_be_s if self.count is not None and self.count.sure else None
        return max((time for time in (self.signed_s, self.written_s, counted) if time is not None), default=None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says: `doubt` names why the clock is not believed, `off_s` by how much it errs.

    `reached_s`: the time by which days are forgotten; the clock's own only where it is sure.
    """

    now_s: float
    doubt: str | None
    off_s: float
    sure: bool
    reached_s: float

    @property
    def trusted(self) -> bool:
        """Whether what is spoken and recorded now carries the right time."""
        return self.doubt is None

    def sentence(self, language: Language) -> str | None:
        """Say what is wrong and what to do; None while the clock is believed."""
        return None if self.doubt is None else say(language, self.doubt, off=say_span(language, abs(self.off_s)))


def weigh(evidence: Evidence) -> Verdict:
    """Weigh the witnesses, the most believed one first."""
    now_s, known_s = evidence.now_s, evidence.known_s
    doubt, off_s = _doubt(evidence)
    sure = doubt is None and _is_sure(evidence, known_s)
    reached_s = now_s if sure else min(now_s, known_s or 0.0)
    return Verdict(now_s, doubt, off_s, sure, max(reached_s, 0.0))


def _doubt(evidence: Evidence) -> tuple[str | None, float]:
    """Ask each witness in turn: a bound can only contradict, a clock decides."""
    for contradiction, says_s, is_a_clock in _witnesses(evidence):
        if says_s is None:
            continue
        off_s = evidence.now_s - says_s
        if off_s < -TOLERATED_S or (is_a_clock and off_s > TOLERATED_S):
            return contradiction, off_s
        if is_a_clock:
            return None, 0.0
    return "clock.nobody", 0.0


def _witnesses(evidence: Evidence) -> tuple[tuple[str, float | None, bool], ...]:
    now_s, keeper, count = evidence.now_s, evidence.keeper, evidence.count
    # A time service may set right what rested on a real-time clock; what is kept as well may not step.
    counted_s = count.should_be_s if count is not None and keeper <= count.keeper else None
    return (
        ("clock.signed", evidence.signed_s, False),
        ("clock.server", evidence.server_s if evidence.server_decides else None, True),
        ("clock.stepped", counted_s, True),
        ("clock.written", evidence.written_as_well_kept_s, False),
        ("", now_s if keeper is Keeper.TIME_SERVICE else None, True),
        ("clock.server", evidence.server_s, True),
        ("", now_s if keeper is Keeper.REAL_TIME_CLOCK else None, True),
    )


def _is_sure(evidence: Evidence, known_s: float | None) -> bool:
    if evidence.server_decides or known_s is None or evidence.now_s - known_s <= SURE_GAP_S:
        return True
    return evidence.count is not None and evidence.count.age_s >= CONFIRMED_AFTER_S


@dataclass(slots=True)
class _Anchor:
    utc_s: float
    monotonic_s: float
    keeper: int
    sure: bool


class Trust:
    """Gathers the witnesses of one device and remembers, from one look to the next, what the clock should show."""

    def __init__(self, settings: ClientSettings, database: Database, board: StatusBoard, clock: Clock) -> None:
        self._settings = settings
        self._database = database
        self._board = board
        self._clock = clock
        self._anchor: _Anchor | None = None
        self._server: ServerTime | None = None
        self._said: str | None = None

    def hear_server(self, told: ServerTime) -> None:
        """Take a server's Date for a witness, until the next one."""
        self._server = told

    async def look(self) -> Verdict:
        """Weigh all that is known now."""
        return await self._database.read(self.weigh_within)

    def weigh_within(self, connection: sqlite3.Connection) -> Verdict:
        """Do the same inside a transaction that is already open."""
        signed_s, written = _signed_s(connection, self._settings.public_key), _written_s(connection)
        now_s, monotonic_s, keeper = self._clock.utc(), self._clock.monotonic(), self._clock.kept_by()
        server_s = None if self._server is None else self._server.at(monotonic_s)
        server_decides = self._server is not None and _is_proven(self._server, signed_s)
        count = self._count(monotonic_s)
        if count is not None and _is_refuted(count.should_be_s, signed_s, server_s if server_decides else None):
            self._anchor = count = None  # the clock was wrong when the count began
        evidence = Evidence(
            now_s=now_s,
            keeper=keeper,
            signed_s=signed_s,
            written_s=max(written.values(), default=None),
            written_as_well_kept_s=max((time for by, time in written.items() if by >= keeper), default=None),
            count=count,
            server_s=server_s,
            server_decides=server_decides,
        )
        verdict = weigh(evidence)
        if verdict.trusted:
            self._drop_anchor(evidence, monotonic_s, sure=verdict.sure)
        return verdict

    async def watch(self) -> Verdict:
        """Weigh, and keep for the person and the next start what came of it: the daemon's jobs look so."""
        verdict = await self.look()
        sentence = verdict.sentence(self._settings.language)
        if sentence != self._said:
            await self._board.note_fault(CLOCK, sentence)
            self._said = sentence
        if verdict.sure:
            name = f"{CLOCK_SURE_PREFIX}{self._anchor.keeper if self._anchor else _SERVER}"
            await self._board.note(name, verdict.now_s, at_most_every_s=SCAN_MAY_LAG_S)
        return verdict

    def _count(self, monotonic_s: float) -> Count | None:
        if self._anchor is None:
            return None
        age_s = monotonic_s - self._anchor.monotonic_s
        return Count(self._anchor.utc_s + age_s, age_s, self._anchor.keeper, self._anchor.sure)

    def _drop_anchor(self, evidence: Evidence, monotonic_s: float, *, sure: bool) -> None:
        keeper = _SERVER if evidence.server_decides else evidence.keeper
        # Not at each look: many small steps, each of them tolerated, would go anywhere.
        if self._anchor is None or keeper > self._anchor.keeper or keeper == _SERVER:
            self._anchor = _Anchor(evidence.now_s, monotonic_s, keeper, sure)
        self._anchor.sure = self._anchor.sure or sure


def _is_refuted(counted_s: float, signed_s: float | None, proven_s: float | None) -> bool:
    return (signed_s is not None and counted_s < signed_s - TOLERATED_S) or (
        proven_s is not None and abs(counted_s - proven_s) > TOLERATED_S
    )


def _is_proven(told: ServerTime, signed_s: float | None) -> bool:
    return told.is_named or (signed_s is not None and abs(told.utc_s - signed_s) <= FRESH_S)


def _signed_s(connection: sqlite3.Connection, pinned: Sequence[str]) -> float | None:
    # A key that is no longer pinned bounds nothing: whoever stole it could sign any day of the future.
    rows = connection.execute("SELECT issued, root FROM feeds").fetchall()
    return max((issued for issued, root in rows if is_pinned(root, pinned)), default=None)


def _written_s(connection: sqlite3.Connection) -> dict[int, float]:
    return {
        int(name.removeprefix(CLOCK_SURE_PREFIX)): float(time)
        for name, time in read_all(connection).items()
        if name.startswith(CLOCK_SURE_PREFIX) and isinstance(time, int | float)
    }
