import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forewarn_simulations.demo.outcome import Outcome
from forewarn_simulations.demo.report import render, write_report


class Page(HTMLParser):
    """What a check of the page needs: ids, references, pictures, balance of elements."""

    EMPTY = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str | None] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href"} and value]
        if tag == "svg" and given.get("aria-hidden") != "true":
            self.pictures.append(given.get("aria-label"))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)


@pytest.fixture(scope="module")
def text(outcome: Outcome) -> str:
    return render(outcome)


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert all(link.startswith(("#", "data:image/png;")) for link in page.links)
    assert "<script" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_every_picture_says_in_words_what_is_to_be_seen(text: str, outcome: Outcome) -> None:
    page = Page(text)
    assert len(page.pictures) == 8
    assert all(alt and len(alt) > 40 for alt in page.pictures)
    told = " ".join(alt or "" for alt in page.pictures)
    assert all(one.person.name in told for one in outcome.people)


def test_the_page_is_well_formed_and_no_two_pictures_share_an_id(text: str) -> None:
    page = Page(text)
    assert page.unbalanced == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_every_person_stands_there_with_truth_result_and_reason(text: str, outcome: Outcome) -> None:
    for one in outcome.people:
        assert one.person.name in text
        for meeting in one.met:
            assert f"{meeting.distance_m:.1f} m for {meeting.minutes:.0f} min" in text
        if one.verdict is not None:
            assert one.verdict.reason in text
    assert f"seed {outcome.seed}" in text


def test_the_alert_is_shown_in_vietnamese_and_english_as_the_phone_says_it(text: str, outcome: Outcome) -> None:
    alert = next(one.alert for one in outcome.people if one.alert is not None)
    for language in ("vi", "en"):
        assert alert["sentence"][language] in text
        assert alert["advice"][language]["title"] in text


def test_colours_follow_the_page_so_that_pictures_are_readable_in_the_dark(text: str) -> None:
    drawn = "".join(re.findall(r"<svg viewBox.*?</svg>", text, flags=re.DOTALL))
    fixed = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", drawn))
    table = next(svg for svg in re.findall(r"<svg viewBox.*?</svg>", text, flags=re.DOTALL) if "everybody-" in svg)
    assert fixed <= set(re.findall(r"#[0-9a-f]{6}", table))  # the colour scale alone is the same on both
    assert "prefers-color-scheme: dark" in text


def test_a_run_without_any_alert_still_has_its_report(outcome: Outcome) -> None:
    silent = replace(outcome, people=tuple(replace(one, alert=None) for one in outcome.people))
    text = render(silent)
    assert "No phone shows an alert" in text
    assert "4 missed" in text


def test_a_phone_that_heard_nothing_has_its_row(outcome: Outcome) -> None:
    deaf = tuple(replace(one, heard=(), verdict=None, alert=None) for one in outcome.people)
    text = render(replace(outcome, people=deaf, loudness={}))
    assert "No identifier of the F0 was ever heard." in text


def test_the_report_replaces_an_older_one(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    path = write_report(outcome, tmp_path)
    assert path == tmp_path / "report.html"
    assert "One lunch" in path.read_text(encoding="utf-8")
