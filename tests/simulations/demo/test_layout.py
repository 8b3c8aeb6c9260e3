import pytest

from forewarn_protocol.errors import BadInput
from forewarn_simulations.demo.layout import FEWEST_PHONES, MOST_PHONES, draw_layout, roles
from forewarn_simulations.demo.people import BUS, LUNCH, Role, meetings
from forewarn_simulations.named_streams import NamedStreams

BOUNDS = {
    Role.CONTACT: ((0.5, 1.0), (25, 45)),
    Role.STRANGER: ((8.0, 12.0), (25, 45)),
    Role.PASSER_BY: ((0.0, 1.0), (0, 5)),
    Role.BORDERLINE: ((1.5, 3.0), (25, 45)),
}


@pytest.mark.parametrize("phones", range(FEWEST_PHONES, MOST_PHONES + 1))
def test_every_layout_keeps_the_contract_for_each_kind_of_person(phones: int) -> None:
    for seed in range(20):
        layout = draw_layout(NamedStreams(seed), phones)
        cast = [person.role for person in layout.people]
        assert len({person.name for person in layout.people}) == phones
        assert cast.count(Role.F0) == cast.count(Role.PASSER_BY) == 1
        assert cast.count(Role.CONTACT) >= 4
        assert cast.count(Role.STRANGER) >= 4
        for person in layout.people[1:]:
            met = meetings(layout.f0, person)
            if person.role.counted:
                assert [meeting.place for meeting in met] == [LUNCH]
            for meeting in met:
                if meeting.place == LUNCH:
                    (nearest, farthest), (shortest, longest) = BOUNDS[person.role]
                    assert nearest <= meeting.distance_m <= farthest
                    assert shortest <= meeting.minutes <= longest + 1e-6


def test_the_f0_rides_the_bus_with_nobody_who_is_counted() -> None:
    layout = draw_layout(NamedStreams(3), 16)
    on_the_bus = {p.role for p in layout.people if any(stay.placement.place == BUS for stay in p.stays)}
    assert on_the_bus == {Role.F0, Role.BORDERLINE, Role.RIDER}


def test_nobody_sits_on_another_person() -> None:
    for seed in range(20):
        people = draw_layout(NamedStreams(seed), MOST_PHONES).people
        for place in (LUNCH, BUS):
            seats = [s.placement for p in people for s in p.stays if s.placement.place == place]
            for number, one in enumerate(seats):
                assert all(one.distance_m(other) > 0.35 for other in seats[number + 1 :])


def test_a_seed_gives_one_layout_and_another_seed_another() -> None:
    assert draw_layout(NamedStreams(5), 16) == draw_layout(NamedStreams(5), 16)
    assert draw_layout(NamedStreams(5), 16) != draw_layout(NamedStreams(6), 16)


@pytest.mark.parametrize("phones", [-1, 0, 11, MOST_PHONES + 1, 10**9])
def test_fewer_than_twelve_phones_or_too_many_are_refused(phones: int) -> None:
    with pytest.raises(BadInput, match="12 to"):
        roles(phones)
