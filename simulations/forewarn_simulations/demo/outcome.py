"""What came out of a run of the demo, beside the truth that only the simulation knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forewarn_protocol.configuration import DeviceConfiguration
from forewarn_protocol.risk import Verdict
from forewarn_simulations.demo.layout import Layout
from forewarn_simulations.demo.people import Meeting, Person, Role
from forewarn_simulations.radio_model import Calibration


@dataclass(frozen=True, slots=True)
class Burst:
    """One scan window in which a phone heard the F0: seconds since the clock's start, dB, judged chance of ≤ 2 m."""

    time_s: float
    attenuation_db: float
    probability: float


@dataclass(frozen=True, slots=True)
class PersonOutcome:
    """What truly happened between one person and the F0, what the phone heard of it, and what it then said.

    `verdict` is None where the phone never heard the F0; `alert` is what the phone shows, in every language.
    """

    person: Person
    met: tuple[Meeting, ...]
    heard: tuple[Burst, ...]
    verdict: Verdict | None
    alert: Mapping[str, Any] | None = field(repr=False)

    @property
    def warned(self) -> bool:
        """Whether an alert stands on this person's phone."""
        return self.alert is not None

    @property
    def missed(self) -> bool:
        """Whether a counted contact was not warned."""
        return self.person.role is Role.CONTACT and not self.warned

    @property
    def false_alert(self) -> bool:
        """Whether a counted person was warned who should not have been."""
        return self.person.role.counted and self.person.role is not Role.CONTACT and self.warned


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of the loop, for the timeline: seconds since the clock's start, a title, a sentence."""

    time_s: float
    title: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Loudness:
    """How one phone heard another over the whole run: advertisements, and their mean attenuation in dB."""

    advertisements: int
    attenuation_db: float


@dataclass(frozen=True, slots=True)
class Loop:
    """When the loop's steps happened, in seconds since the clock's start; `fetched_s` by phone."""

    report_s: float
    embargo_over_s: float
    sealed_s: float
    fetched_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run."""

    seed: int
    layout: Layout
    calibrations: Mapping[str, Calibration]
    people: tuple[PersonOutcome, ...]  # everybody but the F0
    moments: tuple[Moment, ...]
    loudness: Mapping[tuple[str, str], Loudness]  # by (sender, receiver)
    configuration: DeviceConfiguration
    loop: Loop
    file_keys: int
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether nobody among the counted was missed or wrongly warned."""
        return not self.missed and not self.false_alerts

    @property
    def contacts(self) -> list[PersonOutcome]:
        """The people who should be warned."""
        return [one for one in self.people if one.person.role is Role.CONTACT]

    @property
    def missed(self) -> list[PersonOutcome]:
        """The contacts who were not warned."""
        return [one for one in self.people if one.missed]

    @property
    def false_alerts(self) -> list[PersonOutcome]:
        """The counted others who were warned."""
        return [one for one in self.people if one.false_alert]

    @property
    def unclear(self) -> list[PersonOutcome]:
        """The people about whom Bluetooth can't tell: shown, never counted."""
        return [one for one in self.people if not one.person.role.counted]

    def as_json(self) -> dict[str, int | float]:
        """Return the figures of `--json`; `alerts` are those among the counted."""
        return {
            "phones": len(self.layout.people),
            "seed": self.seed,
            "true_contacts": len(self.contacts),
            "alerts": sum(one.warned for one in self.people if one.person.role.counted),
            "missed": len(self.missed),
            "false_alerts": len(self.false_alerts),
            "borderline": len(self.unclear),
            "borderline_alerts": sum(one.warned for one in self.unclear),
            "seconds": round(self.seconds, 2),
        }
