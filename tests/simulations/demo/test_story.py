import asyncio

import pytest

from forewarn_protocol.errors import Missing
from forewarn_simulations.demo import story
from forewarn_simulations.demo.layout import LUNCH_START_S
from forewarn_simulations.demo.outcome import Outcome
from forewarn_simulations.demo.people import Role
from forewarn_simulations.demo.story import TEST_S, run_story
from tests.simulations.conftest import Listener


def test_everybody_at_the_f0s_table_is_warned_and_nobody_else_who_is_counted(outcome: Outcome) -> None:
    warned = {one.person.name for one in outcome.people if one.warned and one.person.role.counted}
    assert warned == {person.name for person in outcome.layout.people if person.role is Role.CONTACT}
    assert outcome.exact


def test_the_figures_add_up_and_the_borderline_are_never_counted(outcome: Outcome) -> None:
    figures = outcome.as_json()
    assert figures["phones"] == 12
    assert figures["seed"] == 1
    assert figures["true_contacts"] == 4
    assert figures["alerts"] == figures["true_contacts"] - figures["missed"] + figures["false_alerts"]
    assert figures["borderline"] == 2
    assert {one.person.role for one in outcome.unclear} == {Role.BORDERLINE, Role.RIDER}


def test_the_loop_keeps_embargo_and_mix_before_any_phone_hears_of_it(outcome: Outcome) -> None:
    loop = outcome.loop
    assert loop.report_s == TEST_S
    assert loop.embargo_over_s >= loop.report_s + 3600
    assert loop.sealed_s >= loop.embargo_over_s
    assert loop.sealed_s - loop.report_s >= 6 * 3600 - 3600  # one report alone waits for others
    assert set(loop.fetched_s) == {person.name for person in outcome.layout.people}
    assert min(loop.fetched_s.values()) >= loop.sealed_s
    assert outcome.file_keys >= 1000


def test_what_a_phone_heard_agrees_with_where_its_person_sat(outcome: Outcome) -> None:
    for one in outcome.people:
        for burst in one.heard:
            assert any(stay.start_s - 5 <= burst.time_s <= stay.end_s + 5 for stay in one.person.stays)
        if one.person.role is Role.CONTACT:
            assert len(one.heard) >= 4
            assert one.verdict is not None
            assert one.verdict.alert == one.warned


def test_an_alert_holds_the_day_and_rounded_minutes_and_not_the_f0(outcome: Outcome) -> None:
    one = next(one for one in outcome.people if one.alert is not None)
    assert one.alert is not None
    assert one.alert["minutes"] % 5 == 0
    assert one.alert["day"] == "2026-03-03"
    assert outcome.layout.f0.name not in str(one.alert["sentence"])


def test_the_story_is_told_in_order_from_the_first_phone_to_the_alerts(told_run: tuple[Outcome, Listener]) -> None:
    outcome, listener = told_run
    assert tuple(listener.told) == outcome.moments
    titles = [moment.title for moment in listener.told]
    assert titles == ["Phones on", "Lunch", "Bus", "Positive test", "Report", "Seal", "Fetch", "Alert"]
    assert [moment.time_s for moment in listener.told] == sorted(moment.time_s for moment in listener.told)
    assert listener.told[1].time_s == LUNCH_START_S
    assert listener.reached_s == sorted(listener.reached_s)


def test_a_seed_gives_the_same_radio_and_the_same_alerts_again(outcome: Outcome) -> None:
    again = asyncio.run(run_story(1, 12, Listener()))
    assert [one.warned for one in again.people] == [one.warned for one in outcome.people]
    assert [one.heard for one in again.people] == [one.heard for one in outcome.people]
    assert again.loop == outcome.loop


def test_a_loop_that_does_not_close_says_so_instead_of_running_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "LONGEST_WAIT_S", 3600.0)  # shorter than the embargo
    with pytest.raises(Missing, match="sealed no export file"):
        asyncio.run(run_story(1, 12, Listener()))
