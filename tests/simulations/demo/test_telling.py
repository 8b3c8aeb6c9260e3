import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from forewarn_simulations.demo.outcome import Moment, Outcome
from forewarn_simulations.demo.telling import Teller, tell_end


def test_the_story_is_lines_with_local_time_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Teller.on(Console(file=out, width=100)) as teller:
        teller.reach(600)
        teller.tell(Moment(900, "Lunch", "People sit down."))
    assert out.getvalue().split() == ["Tue", "11:30", "Lunch", "People", "sit", "down."]


def test_the_end_says_who_was_warned_who_was_not_and_where_the_report_is(outcome: Outcome) -> None:
    out = io.StringIO()
    tell_end(Console(file=out, width=300), outcome, Path("somewhere/report.html"))
    lines = {line.split()[0]: line for line in out.getvalue().splitlines() if line.strip()}
    for one in outcome.people:
        line = lines["can't"] if not one.person.role.counted else lines["warned" if one.warned else "not"]
        assert f"{one.person.name} (" in line
    assert "Exact: all 4 contacts were warned" in lines["Exact:"]
    assert "somewhere/report.html" in lines["The"]


def test_the_end_names_who_was_missed_and_who_was_wrongly_warned(outcome: Outcome) -> None:
    out = io.StringIO()
    alert = next(one.alert for one in outcome.people if one.alert is not None)
    wrong = tuple(replace(one, alert=None if one.warned else alert) for one in outcome.people)
    tell_end(Console(file=out, width=400), replace(outcome, people=wrong), Path("report.html"))
    line = next(line for line in out.getvalue().splitlines() if line.startswith("Not exact"))
    for one in outcome.people:
        assert (f"{one.person.name} (" in line) == one.person.role.counted
