"""An alert: one day of exposure in words, with the region's advice; nothing in it that could name the F0.

Never here: a time of day, a key, an identifier, a number of keys or people, a place, rows of a scan.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Self

from forewarn_client.device import Device
from forewarn_client.diary.entries import Entries
from forewarn_client.diary.vault import Forgotten, Vault, day_number
from forewarn_client.pinned_feeds import ADVICE, remembered
from forewarn_client.translations import say, say_day, say_rule
from forewarn_protocol.advice import LANGUAGES, Advice, AdviceText, Language
from forewarn_protocol.errors import BadInput
from forewarn_protocol.risk import Likelihood, Verdict

STEP_MINUTES: Final = 5
"""A duration to the minute could be looked up in somebody's calendar."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person is told about one UTC day; `weak`: it rests on one short contact, which a relay could fake."""

    day: date
    minutes: int
    likelihood: Likelihood
    rule: str
    weak: bool = False

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Round a verdict to what may be told."""
        steps = max(1, int(verdict.minutes / STEP_MINUTES + 0.5))
        return cls(verdict.day, steps * STEP_MINUTES, verdict.likelihood, verdict.rule, verdict.weak)

    def sentence(self, language: Language) -> str:
        """Say when, how long and how near."""
        likelihood = say(language, f"likelihood.{self.likelihood}")
        return say(language, "alert.near", day=say_day(language, self.day), minutes=self.minutes, likelihood=likelihood)

    def reason(self, language: Language) -> str:
        """Say which rule decided, and how strong the evidence is."""
        sentences = [say_rule(language, self.rule)]
        if self.weak:
            sentences.append(say(language, "alert.weak"))
        return " ".join(sentences)


def keep_and_tell(connection: sqlite3.Connection, vault: Vault, alerts: Sequence[Alert]) -> list[Alert]:
    """Store alerts inside a transaction that is open and return those of days that had none: each is told once.

    A day that had one keeps it, brought up to date in silence: a second notice would say that a second case came. One
    that was taken back counts as none: what stands now is another warning.
    """
    told = {number for (number,) in connection.execute("SELECT day FROM alerts")}
    new = []
    for alert in alerts:
        number = day_number(alert.day)
        try:
            seal = vault.day(connection, alert.day)
        except Forgotten:
            continue  # the day has been forgotten meanwhile
        sealed = seal.seal(_encode(alert), ALERTS.context)
        connection.execute("INSERT OR REPLACE INTO alerts (day, sealed) VALUES (?, ?)", (number, sealed))
        connection.execute("DELETE FROM withdrawals WHERE day = ?", (number,))
        if number not in told:
            new.append(alert)
    return new


def stored(connection: sqlite3.Connection, vault: Vault) -> list[Alert]:
    """Return the alerts that stand, oldest day first."""
    return sorted(ALERTS.read(connection, vault), key=lambda alert: alert.day)


async def active_alerts(device: Device) -> list[Alert]:
    """Return the alerts that stand, oldest day first; each stands until its day is forgotten."""
    return await device.database.read(stored, device.vault)


async def alerts_as_json(device: Device) -> list[dict[str, Any]]:
    """Return the alerts that stand as `check --json` and `status --json` show them, in every language."""
    alerts = await active_alerts(device)
    advice = await remembered(device, ADVICE) if alerts else None
    return [_as_json(alert, advice) for alert in alerts]


async def alerts_in_words(device: Device) -> list[str]:
    """Return the alerts that stand as lines in the person's language, the advice once at the end."""
    alerts = await active_alerts(device)
    if not alerts:
        return []
    language = device.settings.language
    text = _advice_text(await remembered(device, ADVICE), language)
    lines = [text.title]
    for alert in alerts:
        lines += [alert.sentence(language), f"  {alert.reason(language)}"]
    lines += [f"- {step}" for step in text.steps]
    lines += [f"- {contact.name}: {contact.phone} ({contact.hours})" for contact in text.call]
    if text.url:
        lines.append(f"- {text.url}")
    return lines


def _advice_text(advice: Advice | None, language: Language) -> AdviceText:
    if advice is not None:
        return advice.text(language)
    # No advice was ever fetched: what holds in every region.
    return AdviceText.model_construct(
        title=say(language, "advice.title"), steps=(say(language, "advice.step"),), call=(), url=None
    )


def _as_json(alert: Alert, advice: Advice | None) -> dict[str, Any]:
    return {
        "day": alert.day.isoformat(),
        "minutes": alert.minutes,
        "likelihood": str(alert.likelihood),
        "rule": alert.rule,
        "weak": alert.weak,
        "sentence": {language: alert.sentence(language) for language in LANGUAGES},
        "reason": {language: alert.reason(language) for language in LANGUAGES},
        "advice": {
            language: _advice_text(advice, language).model_dump(mode="json", by_alias=True) for language in LANGUAGES
        },
    }


def _encode(alert: Alert) -> bytes:
    fields = {"minutes": alert.minutes, "likelihood": alert.likelihood, "rule": alert.rule, "weak": alert.weak}
    return json.dumps(fields).encode()


def _decode(day: date, record: bytes) -> Alert:
    try:
        fields = json.loads(record)
        likelihood = Likelihood(fields["likelihood"])
        return Alert(day, int(fields["minutes"]), likelihood, str(fields["rule"]), bool(fields["weak"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("an alert in the diary is damaged: erase the diary to start a new one") from error


ALERTS: Final = Entries("alerts", b"alert", _decode)
