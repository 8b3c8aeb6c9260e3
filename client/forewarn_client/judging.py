"""Judge what matched by the authority's rule, and tell each day of exposure once."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from forewarn_client import anomalies, matches
from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.board import STRANGE_SIGHTINGS
from forewarn_client.device import Device
from forewarn_client.diary.vault import Vault
from forewarn_client.pinned_feeds import CONFIGURATION, remembered
from forewarn_client.withdrawals import Withdrawal, take_back
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.intervals import day_at
from forewarn_protocol.matching import Anomaly, Match, SightingIndex, match
from forewarn_protocol.risk import Verdict, counts
from forewarn_protocol.risk import judge as judge_risk

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a device makes of everything that matched: one match a key, one verdict a day, by which configuration.

    `strange` counts the sightings that this configuration dropped or capped; `corrected` are the UTC days on which a
    key was heard that counts for nothing since it was revised.
    """

    configuration: DeviceConfiguration
    matches: Sequence[Match]
    verdicts: Sequence[Verdict]
    strange: Counter[Anomaly]
    corrected: frozenset[date]


async def judge(device: Device) -> list[Alert]:
    """Judge the whole diary anew and return the alerts of days that had none before; a second call returns none.

    Alerts that rested on keys that were withdrawn or corrected are taken back, with a notice.
    """
    judgement = await judge_diary(device)
    if judgement is None:
        return []
    alerts = [Alert.of(verdict) for verdict in judgement.verdicts if verdict.alert]
    new, taken_back = await device.database.write(_tell, device.vault, alerts, judgement.corrected)
    strange = judgement.strange + await device.database.read(anomalies.remembered, device.vault)
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


async def judge_diary(device: Device) -> Judgement | None:
    """Judge all matches together and tell nobody; None before the first configuration was fetched.

    So a day's minutes add up over files, and a new configuration counts for old days.
    """
    configuration = await remembered(device, CONFIGURATION)
    if configuration is None:
        return None
    heard = await device.database.read(matches.remembered, device.vault)
    # A fortnight beside somebody is seconds of work on a badge: in the loop, it would cost a scan.
    return await asyncio.to_thread(_judged, heard, configuration, device.settings.receiver_correction_db)


def _judged(
    heard: Sequence[matches.Heard], configuration: DeviceConfiguration, receiver_correction_db: float
) -> Judgement:
    strange = Counter[Anomaly]()
    # The diary keeps a key in parts: per day, and once more for each file that named it. The same matching that found
    # the parts joins them, with the tolerance and the caps of today's configuration.
    words = matches.newest_words(heard)
    found = tuple(
        match(
            (word.key for word in words),
            SightingIndex({sighting for part in heard for sighting in part.sightings}),
            tolerance_intervals=configuration.tolerance_intervals,
            median_tx_dbm=configuration.median_tx_dbm.by_confidence(),
            anomalies=strange,
        )
    )
    verdicts = judge_risk(
        found,
        configuration.risk,
        receiver_correction_db=receiver_correction_db,
        minimum_distinct_rpis=configuration.minimum_distinct_rpis,
    )
    withdrawn = {word.key.tek.key for word in words if word.revised and not counts(word.key, configuration.risk)}
    corrected = {
        day_at(sighting.time_s) for part in heard if part.key.tek.key in withdrawn for sighting in part.sightings
    }
    return Judgement(configuration, found, tuple(verdicts), strange, frozenset(corrected))
