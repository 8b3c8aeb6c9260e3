"""Judge what matched by the authority's rule, and tell each day of exposure once."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from forewarn_client import anomalies
from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.assessing import judgement
from forewarn_client.assessing.assessors import assessor_of
from forewarn_client.assessing.judgement import Judged
from forewarn_client.assessing.questions import Judging
from forewarn_client.board import STRANGE_SIGHTINGS
from forewarn_client.device import Device
from forewarn_client.diary.vault import Vault
from forewarn_client.pinned_feeds import CONFIGURATION, remembered
from forewarn_client.withdrawals import Withdrawal, take_back
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.matching import Match
from forewarn_protocol.risk import Verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a device makes of everything that matched: one match a key, one verdict a day, by which configuration."""

    configuration: DeviceConfiguration
    matches: Sequence[Match]
    verdicts: Sequence[Verdict]


async def judge(device: Device) -> list[Alert]:
    """Judge the whole diary anew and return the alerts of days that had none before; a second call returns none.

    Alerts that rested on keys that were withdrawn or corrected are taken back, with a notice.
    """
    judged = await _judged(device)
    alerts = [Alert.of(verdict) for verdict in judged.verdicts if verdict.alert]
    new, taken_back = await device.database.write(_tell, device.vault, alerts, judged.corrected)
    strange = Counter(judged.strange) + await device.database.read(anomalies.remembered, device.vault)
    await device.status.note(STRANGE_SIGHTINGS, anomalies.in_words(strange) or None)
    if new or taken_back:
        # The log says that there is something to read, not what: a log is copied to other people.
        _log.warning("there is something to tell: see 'forewarn-client status'")
    return new


def _tell(
    connection: sqlite3.Connection, vault: Vault, alerts: Sequence[Alert], corrected: Collection[date]
) -> tuple[list[Alert], list[Withdrawal]]:
    # Only a correction takes an alert back. Whatever else ends one (a new threshold, a damaged entry) is no reason to
    # tell a person that the danger is over.
    still = {alert.day for alert in alerts}
    return keep_and_tell(connection, vault, alerts), take_back(connection, vault, set(corrected) - still)


async def _judged(device: Device) -> Judged:
    # Nearly every device has met nobody who reported: nothing need be started for it.
    if not await device.database.read(_has_matches):
        return Judged()
    question = Judging(device.place, CONFIGURATION.path(device.settings.region), device.settings.receiver_correction_db)
    async with assessor_of(device.settings) as assessor:
        return await assessor.judge(question)


def _has_matches(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM matches LIMIT 1").fetchone() is not None


async def judge_diary(device: Device) -> Judgement | None:
    """Judge all matches and tell nobody, for who wants to see why; None before the first configuration was fetched."""
    configuration = await remembered(device, CONFIGURATION)
    if configuration is None:
        return None
    found = await device.database.read(judgement.matched, device.vault, configuration)
    correction_db = device.settings.receiver_correction_db
    judged = await device.database.read(judgement.judge, device.vault, configuration, correction_db)
    return Judgement(configuration, found, judged.verdicts)
