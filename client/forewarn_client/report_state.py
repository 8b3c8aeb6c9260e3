"""How far a report came, kept durably: a retry goes on at the step that was not finished, with the same secrets.

The keys themselves are not copied here: each stays under its own day's key and is forgotten with that day.
"""

import secrets
import sqlite3
from datetime import date
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from forewarn_client.diary.vault import Vault, day_from, day_number
from forewarn_protocol.errors import BadInput, Missing
from forewarn_protocol.verification import TestType
from forewarn_protocol.wire import Base64Of32

CONTEXT: Final = b"report"
_SECRET_BYTES: Final = 32


class ReportState(BaseModel):
    """One report. Each step adds what the next one needs; `done` ends it and clears the secrets.

    `spans` are the keys that were chosen, as (rolling start, rolling period); once chosen they never change, because a
    certificate is bound to them. `finding` is what the code stands for. `handed_over`: they were also sealed into a
    file for somebody else to pass on, and nobody here knows whether that arrived. What outlives a report, for the next
    one to the same region: its onset, `published_until`, the first interval that no report has published yet,
    `unsure_until`, the same if one arrived whose answer never came, and `revision_token`, by which the server lets this
    device change what it published.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    begun: date
    region: str
    code: str = Field(repr=False)
    nonce: Base64Of32 = Field(repr=False)
    hmac_key: Base64Of32 = Field(repr=False)
    token: str | None = Field(default=None, repr=False)
    finding: TestType | None = None
    symptom_date: date | None = None
    onset: date | None = None
    spans: tuple[tuple[int, int], ...] | None = None
    handed_over: bool = False
    done: bool = False
    published_until: int = 0
    unsure_until: int = 0
    revision_token: str = Field(default="", repr=False)

    @classmethod
    def begin(cls, region: str, code: str, today: date, last: Self | None) -> Self:
        """Draw the secrets of a new report; `last` is the one before it to the same region."""
        kept = {} if last is None else last.model_dump(include={"onset", "published_until", "revision_token"})
        unsure_until = 0 if last is None else max(last.unsure_until, last.chosen_until)
        return cls(
            begun=today,
            region=region,
            code=code,
            nonce=secrets.token_bytes(_SECRET_BYTES),
            hmac_key=secrets.token_bytes(_SECRET_BYTES),
            unsure_until=unsure_until,
            **kept,
        )

    @property
    def chosen_until(self) -> int:
        """The end of the newest key that was chosen and not yet noted as published; 0 if there is none."""
        return max((start + period for start, period in self.spans or ()), default=0)


def load(connection: sqlite3.Connection, vault: Vault, region: str | None = None) -> ReportState | None:
    """Return the last report, inside a transaction that is open; None if there is none or its day is forgotten.

    With `region`, one to another region counts as none: that authority knows nothing of it.
    """
    row = connection.execute("SELECT day, sealed FROM reports").fetchone()
    if row is None:
        return None
    try:
        record = vault.unseal(connection, day_from(row[0]), row[1], CONTEXT)
    except (Missing, BadInput):
        return None  # the day's key is destroyed first, its rows a moment later; or the entry is damaged
    state = ReportState.model_validate_json(record)
    return state if region in {None, state.region} else None


def store(connection: sqlite3.Connection, vault: Vault, state: ReportState) -> ReportState:
    """Keep a report in place of the last one, inside a transaction that is open."""
    sealed = vault.seal(connection, state.begun, state.model_dump_json().encode(), CONTEXT)
    connection.execute(
        "INSERT OR REPLACE INTO reports (id, day, sealed) VALUES (1, ?, ?)", (day_number(state.begun), sealed)
    )
    return state


def begin(connection: sqlite3.Connection, vault: Vault, region: str, code: str, today: date) -> ReportState:
    """Return the report that this code began earlier, or begin one: its nonce is durable before it is sent."""
    last = load(connection, vault, region)
    if last is not None and last.code == code:
        return last
    return store(connection, vault, ReportState.begin(region, code, today, last))


def advance(connection: sqlite3.Connection, vault: Vault, code: str, /, **step: Any) -> ReportState:
    """Add what a step brought to the report of this code; to one that is done, nothing is added any more.

    Raises:
        BadInput: another process has begun a report with another code meanwhile.
    """
    state = load(connection, vault)
    if state is None or state.code != code:
        raise BadInput("another report was begun on this device meanwhile: finish one, then the other")
    return state if state.done else store(connection, vault, state.model_copy(update=step))


def finish(connection: sqlite3.Connection, vault: Vault, code: str, revision_token: str) -> ReportState:
    """Mark a report as published; what could publish it again is cleared."""
    state = advance(connection, vault, code)
    published_until = max(state.published_until, state.chosen_until)
    return _close(connection, vault, code, published_until, revision_token or state.revision_token)


def give_up(connection: sqlite3.Connection, vault: Vault, code: str, published_until: int) -> ReportState:
    """Mark a report as refused for good; the next one begins at `published_until`."""
    state = advance(connection, vault, code)
    return _close(connection, vault, code, max(state.published_until, published_until), state.revision_token)


def _close(
    connection: sqlite3.Connection, vault: Vault, code: str, published_until: int, revision_token: str
) -> ReportState:
    return advance(
        connection,
        vault,
        code,
        done=True,
        token=None,
        nonce=bytes(_SECRET_BYTES),
        hmac_key=bytes(_SECRET_BYTES),
        spans=None,
        published_until=published_until,
        unsure_until=0,
        revision_token=revision_token,
    )
