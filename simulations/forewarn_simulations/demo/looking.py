"""Looks into every phone after the run: what it heard of the F0, how it judged, what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from forewarn_client import matches
from forewarn_client.alerts import alerts_as_json
from forewarn_client.device import Device
from forewarn_client.pinned_feeds import CONFIGURATION, remembered
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.encounters import encounters
from forewarn_protocol.errors import Missing
from forewarn_protocol.matching import Match, SightingIndex, match
from forewarn_protocol.risk import judge
from forewarn_simulations.demo.outcome import Burst, PersonOutcome
from forewarn_simulations.demo.people import Person, meetings
from forewarn_simulations.world import World


@dataclass(frozen=True, slots=True)
class Look:
    """What the phones hold: everybody but the F0, the signed configuration they all judged by."""

    people: tuple[PersonOutcome, ...]
    configuration: DeviceConfiguration
    keys_end_s: float
    """Unix time at which the F0's last matched key ends; the embargo counts from there."""


async def look(world: World, f0: Person, others: Sequence[Person], epoch_s: float) -> Look:
    """Open each phone's data as its person's commands do, and read."""
    people, ends = [], [0.0]
    configuration: DeviceConfiguration | None = None
    for person in others:
        async with world.device(person.name) as device:
            configuration = await remembered(device, CONFIGURATION)
            if configuration is None:
                raise Missing(f"the phone of {person.name} never got the authority's configuration: see its log")
            found = await _matches(device, configuration)
            ends += [one.key.tek.end * 600.0 for one in found]
            people.append(await _outcome(device, configuration, found, f0, person, epoch_s))
    if configuration is None:
        raise Missing("there is nobody to look at: give the demo more phones")
    return Look(tuple(people), configuration, max(ends))


async def _matches(device: Device, configuration: DeviceConfiguration) -> list[Match]:
    """Return the phone's stored matches, one a key, as its own judging joins them."""
    heard = await device.database.read(matches.remembered, device.vault)
    index = SightingIndex({sighting for _, sightings in heard for sighting in sightings})
    return list(match((key for key, _ in heard), index, tolerance_intervals=configuration.tolerance_intervals))


async def _outcome(  # noqa: PLR0917 - see PLR0913 in pyproject.toml
    device: Device,
    configuration: DeviceConfiguration,
    found: Sequence[Match],
    f0: Person,
    person: Person,
    epoch_s: float,
) -> PersonOutcome:
    correction_db = device.settings.receiver_correction_db
    model = configuration.risk.minutes.proximity
    bursts = [
        Burst(judged.slot.time_s - epoch_s, judged.slot.attenuation_db - correction_db, judged.probability)
        for one in found
        for encounter in encounters(one)
        for judged in encounter.judged(model, correction_db)
    ]
    verdicts = judge(found, configuration.risk, receiver_correction_db=correction_db)
    alerts = await alerts_as_json(device)
    return PersonOutcome(
        person=person,
        met=tuple(meetings(f0, person)),
        heard=tuple(sorted(bursts, key=lambda burst: burst.time_s)),
        verdict=verdicts[0] if verdicts else None,
        alert=alerts[0] if alerts else None,
    )
