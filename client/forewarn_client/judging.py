"""Judge what matched by the authority's rule, and tell each day of exposure once."""

import logging
from collections.abc import Iterable

from forewarn_client import matches
from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.device import Device
from forewarn_client.pinned_feeds import CONFIGURATION, remembered
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.matching import Match, SightingIndex, match
from forewarn_protocol.risk import judge as judge_risk

_log = logging.getLogger(__name__)


async def judge(device: Device) -> list[Alert]:
    """Judge the whole diary anew and return the alerts of days that had none before; a second call returns none.

    All matches are judged together, so a day's minutes add up over files, and a new configuration counts for old days.
    """
    heard = await device.database.read(matches.remembered, device.vault)
    configuration = await remembered(device, CONFIGURATION)
    if not heard or configuration is None:
        return []
    verdicts = judge_risk(
        _matched_anew(heard, configuration),
        configuration.risk,
        receiver_correction_db=device.settings.receiver_correction_db,
        minimum_distinct_rpis=configuration.minimum_distinct_rpis,
    )
    alerts = [Alert.of(verdict) for verdict in verdicts if verdict.alert]
    new = await device.database.write(keep_and_tell, device.vault, alerts)
    if new:
        # The log says that there is something to read, not what: a log is copied to other people.
        _log.warning("there is something to tell: see 'forewarn-client status'")
    return new


def _matched_anew(heard: Iterable[matches.Heard], configuration: DeviceConfiguration) -> Iterable[Match]:
    # The diary keeps a key in parts: per day, and once more for each file that named it. The same matching that found
    # the parts joins them, with the tolerance and the caps of today's configuration.
    parts = list(heard)
    index = SightingIndex({sighting for _, sightings in parts for sighting in sightings})
    return match(
        (key for key, _ in parts),
        index,
        tolerance_intervals=configuration.tolerance_intervals,
        median_tx_dbm=configuration.median_tx_dbm.by_confidence(),
    )
