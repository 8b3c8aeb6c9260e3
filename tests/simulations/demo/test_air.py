from statistics import fmean

from forewarn_simulations.demo.air import DemoAir
from forewarn_simulations.demo.layout import BUS_START_S, LUNCH_START_S, draw_layout
from forewarn_simulations.demo.people import Role
from forewarn_simulations.named_streams import NamedStreams


def levels(seed: int, role: Role) -> list[float]:
    layout = draw_layout(NamedStreams(seed), 12)
    air = DemoAir(NamedStreams(seed), layout)
    loss = []
    for person in layout.people:
        if person.role is role:
            stay = person.stays[0]
            heard = [
                air.rssi_dbm(layout.f0.name, person.name, stay.start_s + 3.1 * n)
                for n in range(int((stay.end_s - stay.start_s) / 3.1))
            ]
            correction = air.calibrations[person.name].rssi_correction_db
            said = air.calibrations[layout.f0.name].tx_power_dbm
            loss.append(fmean(said - rssi - correction for rssi in heard if rssi is not None))
    return loss


def test_contacts_are_nearer_by_radio_than_strangers() -> None:
    contacts = [loss for seed in range(2) for loss in levels(seed, Role.CONTACT)]
    strangers = [loss for seed in range(2) for loss in levels(seed, Role.STRANGER)]
    assert 40 < fmean(contacts) < 52
    assert 62 < fmean(strangers) < 76


def test_nobody_is_heard_from_elsewhere() -> None:
    layout = draw_layout(NamedStreams(1), 16)
    air = DemoAir(NamedStreams(1), layout)
    names = [person.name for person in layout.people]
    for moment in (0.0, LUNCH_START_S - 1, layout.lunch_end_s + 1, BUS_START_S - 1, layout.bus_end_s + 1, 1e6):
        assert all(air.rssi_dbm(a, b, moment) is None for a in names for b in names if a != b)
    rider = next(p.name for p in layout.people if p.role is Role.RIDER)
    assert air.rssi_dbm(layout.f0.name, rider, LUNCH_START_S + 1800) is None
    assert any(air.rssi_dbm(layout.f0.name, rider, BUS_START_S + 60 + second) for second in range(60))


def test_who_asks_first_changes_nothing() -> None:
    layout = draw_layout(NamedStreams(2), 12)
    one, other = DemoAir(NamedStreams(2), layout), DemoAir(NamedStreams(2), layout)
    names = [person.name for person in layout.people if person.role in {Role.F0, Role.STRANGER}]
    asked = [(a, b, LUNCH_START_S + 600 + n) for n in range(60) for a in names for b in names if a != b]
    assert [one.rssi_dbm(*q) for q in asked] == [other.rssi_dbm(*q) for q in reversed(asked)][::-1]
