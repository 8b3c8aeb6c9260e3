"""Holds a phone's diary to its promises after a crash: what was recorded, spoken, matched and told."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from forewarn_client import matches
from forewarn_client.alerts import ALERTS, active_alerts
from forewarn_client.device import DATABASE_FILE, Device
from forewarn_client.diary import store
from forewarn_client.judging import judge_diary
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.identifiers import identifier
from forewarn_protocol.intervals import day_of
from tests.server.published_files import diagnosis_keys
from tests.system.crashes.children import Child
from tests.system.crashes.people import demand
from tests.system.crashes.public_folder import check_integrity

_ENTRIES = {"scan window": store.SCAN_WINDOWS, "match": matches.MATCHES, "alert": ALERTS}


@dataclass
class Witness:
    """What all lives of one phone have acknowledged, spoken and told, as they remembered it themselves."""

    recorded: list[dict[str, Any]] = field(default_factory=list)
    spoken: list[bytes] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    told: list[date] = field(default_factory=list)

    def listen_to(self, child: Child) -> None:
        """Add what a life that is over said."""
        self.recorded += child.said("recorded")
        self.told += [date.fromisoformat(line["day"]) for line in child.said("told")]
        for line in child.said("spoke"):
            self.spoken.append(bytes.fromhex(line["rpi"]))
            self.addresses.append(line["address"])

    def twice_told(self) -> set[date]:
        return {day for day, times in Counter(self.told).items() if times > 1}


async def check_diary(device: Device, witness: Witness) -> None:
    """Demand a whole database, every acknowledged scan window once, and no identifier or alert twice."""
    check_integrity(device.settings.data / DATABASE_FILE)
    for name, kind in _ENTRIES.items():
        damaged = await device.database.read(kind.count_damaged, device.vault)
        demand(damaged == 0, f"{damaged} entries of the kind {name} are damaged")
    kept = await device.database.read(_windows, device)
    demand(len(kept) == len(set(kept)), "a scan window stands in the diary twice")
    for line in witness.recorded:
        block = bytes.fromhex(line["block"])
        demand(block in kept, f"an acknowledged scan window was lost: {line['start_s']}")
    demand(len(witness.spoken) == len(set(witness.spoken)), "an identifier was spoken twice")
    demand(len(witness.addresses) == len(set(witness.addresses)), "an address was used twice")
    noted = await device.database.read(_spoken, device)
    demand(noted.issuperset(witness.spoken), "an identifier was on the air that the keyring does not know as spoken")
    demand(not witness.twice_told(), f"an alert was told twice: {witness.twice_told()}")
    alerts = {alert.day for alert in await active_alerts(device)}
    demand(alerts.issuperset(witness.told), "an alert that was told is not in the diary")


async def check_matches(device: Device, exports: dict[str, ExportFile], met: set[bytes]) -> None:
    """Demand the matches of every file in the ledger, none of any other, and each once; `exports` by SHA-256."""
    ledger = await device.database.read(_ledger)
    demand(ledger <= exports.keys(), "the ledger knows a file that was never published")
    expected = Counter(
        key.tek.key for sha256 in ledger for key in diagnosis_keys(exports[sha256]) if key.tek.key in met
    )
    found = Counter(heard.key.tek.key for heard in await device.database.read(matches.remembered, device.vault))
    lost, invented = expected - found, found - expected
    demand(not lost, f"{len(lost)} matches of finished files were lost")
    demand(not invented, f"{len(invented)} matches are twice, or of files that are not finished")


async def check_alerts(device: Device) -> None:
    """Demand an alert for each day that the diary's matches call for, after a fetch that was not disturbed."""
    judgement = await judge_diary(device)
    called_for = set() if judgement is None else {verdict.day for verdict in judgement.verdicts if verdict.alert}
    standing = {alert.day for alert in await active_alerts(device)}
    demand(called_for == standing, f"alerts stand for {standing}, the matches call for {called_for}")


def _windows(connection: Any, device: Device) -> list[bytes]:
    return [window.encode() for window in store.windows(connection, device.vault, date(1970, 1, 1))]


def _spoken(connection: Any, device: Device) -> set[bytes]:
    own = device.keyring.held_within(connection, date(1970, 1, 1))
    return {bytes(identifier(key.tek.key, interval)) for key in own for interval in key.spoken}


def _ledger(connection: Any) -> set[str]:
    return {sha256 for (sha256,) in connection.execute("SELECT sha256 FROM finished_files")}


async def own_days(device: Device) -> set[date]:
    """Return the days on which this device has spoken."""
    return await device.database.read(
        lambda connection: {
            day_of(key.tek.rolling_start)
            for key in device.keyring.held_within(connection, date(1970, 1, 1))
            if key.spoken
        }
    )
