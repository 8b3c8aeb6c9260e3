import json

import pytest

from forewarn_protocol.advice import LANGUAGES, MAX_ADVICE_BYTES, Advice, AdviceText, Contact, parse_advice
from forewarn_protocol.errors import BadFeed

TEXT = AdviceText(
    title="You were near somebody who tested positive",
    steps=("Stay at home.", "Get tested."),
    call=(Contact(name="Hotline", phone="1900 9095", hours="day and night"),),
    url="https://example.org/advice",
)
ADVICE = Advice(
    sequence=1, issued=1_620_000_000, expires=1_620_086_400, region="vn", texts=dict.fromkeys(LANGUAGES, TEXT)
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(ADVICE.encode()), **fields}).encode()


def with_text(**fields: object) -> bytes:
    text = {**json.loads(TEXT.encode()), **fields}
    return changed(texts={"vi": text, "en": text})


def test_advice_is_written_and_read_back_in_both_languages() -> None:
    read = parse_advice(ADVICE.encode())
    assert read == ADVICE
    assert [read.text(language).call[0].phone for language in LANGUAGES] == ["1900 9095", "1900 9095"]


def test_advice_that_lacks_a_language_is_refused_and_one_more_is_too() -> None:
    text = json.loads(TEXT.encode())
    wrong: list[object] = [{"vi": text}, {"vi": text, "en": text, "xx": text}, {}, []]
    for texts in wrong:
        with pytest.raises(BadFeed):
            parse_advice(changed(texts=texts))


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": "x" * 501},
        {"title": "\x1b[2J"},
        {"steps": []},
        {"steps": ["x"] * 21},
        {"steps": ["a\nb"]},
        {"call": []},
        {"call": [{"name": "x", "phone": "javascript:alert(1)", "hours": "x"}]},
        {"call": [{"name": "x", "phone": "1900", "hours": ""}]},
        {"url": "javascript:alert(1)"},
        {"url": "http://example.org"},
        {"url": "https://example.org/ x"},
        {"url": "https://" + "x" * 300},
    ],
)
def test_advice_that_no_person_should_be_shown_is_refused(change: dict[str, object]) -> None:
    assert parse_advice(with_text()).sequence == 1
    with pytest.raises(BadFeed):
        parse_advice(with_text(**change))


def test_advice_without_a_web_page_is_fine() -> None:
    assert parse_advice(with_text(url=None)).text("vi").url is None


def test_advice_larger_than_we_read_is_refused() -> None:
    with pytest.raises(BadFeed, match="at most"):
        parse_advice(ADVICE.encode() + b" " * MAX_ADVICE_BYTES)
