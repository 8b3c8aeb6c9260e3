"""Looks into every phone after the run: what it heard of the F0, how it judged, what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from forewarn_client.alerts import alerts_as_json
from forewarn_client.device import Device
from forewarn_client.judging import Judgement, judge_diary
from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.encounters import encounters
from forewarn_protocol.errors import Missing
from forewarn_protocol.intervals import start_s
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
            judgement = await judge_diary(device)
            if judgement is None:
                raise Missing(f"the phone of {person.name} never got the authority's configuration: see its log")
            configuration = judgement.configuration
            ends += [start_s(one.key.tek.end) for one in judgement.matches]
            people.append(await _outcome(device, judgement, f0, person, epoch_s))
    if configuration is None:
        raise Missing("there is nobody to look at: give the demo more phones")
    return Look(tuple(people), configuration, max(ends))


async def _outcome(device: Device, judgement: Judgement, f0: Person, person: Person, epoch_s: float) -> PersonOutcome:
    correction_db = device.settings.receiver_correction_db
    model = judgement.configuration.risk.minutes.proximity
    bursts = [
        Burst(judged.slot.time_s - epoch_s, judged.slot.attenuation_db - correction_db, judged.probability)
        for one in judgement.matches
        for encounter in encounters(one)
        for judged in encounter.judged(model, correction_db)
    ]
    alerts = await alerts_as_json(device)
    return PersonOutcome(
        person=person,
        met=tuple(meetings(f0, person)),
        heard=tuple(sorted(bursts, key=lambda burst: burst.time_s)),
        verdict=next(iter(judgement.verdicts), None),
        alert=alerts[0] if alerts else None,
    )
