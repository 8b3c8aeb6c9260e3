import json
import logging
import re
import string
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from forewarn_client import translations
from forewarn_client.alerts import Alert, alerts_as_json, alerts_in_words
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.judging import judge
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.risk import Likelihood, Verdict
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import confirmed, heard, key_of_day, meet, phone

YESTERDAY_S = NOON_S - DAY_S
CASE = key_of_day(YESTERDAY_S, 1)
CLOCK_TIME = re.compile(r"\d{1,2}:\d{2}")


@pytest.fixture
async def exposed(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Device]:
    """A phone that met two cases on one day and one on the day before."""
    async with phone(server, tmp_path / "phone", clock) as device:
        people = [CASE, key_of_day(YESTERDAY_S, 2), key_of_day(YESTERDAY_S - DAY_S, 3)]
        for person, at_s in zip(people, (YESTERDAY_S, YESTERDAY_S + 1200, YESTERDAY_S - DAY_S), strict=True):
            await meet(device, person, at_s, 30)
        server.put_export([confirmed(person) for person in people])
        yield device


async def warn(device: Device) -> list[Alert]:
    await fetch(device)
    return await judge(device)


@pytest.mark.parametrize(
    ("minutes", "told"), [(0.4, 5), (7.4, 5), (7.5, 10), (12.4, 10), (22.4, 20), (23, 25), (1440, 1440)]
)
def test_minutes_are_told_in_steps_of_five(minutes: float, told: int) -> None:
    verdict = Verdict(date(2025, 6, 15), True, minutes, Likelihood.LIKELY, "minutes", "23.7 minutes")  # noqa: FBT003 - the verdict's own order
    assert Alert.of(verdict).minutes == told


async def test_an_alert_speaks_both_languages_and_brings_the_regions_advice(exposed: Device) -> None:
    await warn(exposed)
    first, second = await alerts_as_json(exposed)
    assert (first["day"], second["day"]) == ("2025-06-14", "2025-06-15")
    assert "likely within two metres" in first["sentence"]["en"]
    assert "trong vòng hai mét" in first["sentence"]["vi"]
    assert first["reason"]["en"].startswith("The rule in minutes")
    assert (first["advice"]["en"]["title"], first["advice"]["vi"]["title"]) == ("Stay at home", "Hãy ở nhà")
    assert first["advice"]["en"]["call"] == [{"name": "Hotline", "phone": "19009095", "hours": "always"}]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_terminal_shows_each_day_and_the_advice_once(
    server: HonestServer, tmp_path: Path, clock: VirtualClock, exposed: Device, language: str
) -> None:
    await warn(exposed)
    async with phone(server, tmp_path / "phone", clock, language=language) as device:
        lines = await alerts_in_words(device)
    text = "\n".join(lines)
    days = {"en": ("14 June 2025", "15 June 2025"), "vi": ("14/6/2025", "15/6/2025")}[language]
    assert [text.count(part) for part in (*days, "19009095")] == [1, 1, 1]


async def test_without_alerts_there_is_nothing_to_show(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    async with phone(server, tmp_path, clock) as device:
        await fetch(device)
        assert await alerts_as_json(device) == []
        assert await alerts_in_words(device) == []


async def test_without_advice_an_alert_still_says_what_to_do(
    server: HonestServer, tmp_path: Path, clock: VirtualClock
) -> None:
    del server.files["/advice/vn.json"]
    async with phone(server, tmp_path, clock) as device:
        await meet(device, CASE, YESTERDAY_S, 30)
        server.put_export([confirmed(CASE)])
        await fetch(device)
        await judge(device)
        (alert,) = await alerts_as_json(device)
        assert "call your local health authority" in alert["advice"]["en"]["steps"][0]
        assert "cơ quan y tế" in alert["advice"]["vi"]["steps"][0]


def leaks(text: str) -> set[str]:
    """Return what in a text could name the F0: keys, identifiers, times of day, exact minutes, counts."""
    found = set()
    for number in (1, 2, 3):
        tek = key_of_day(YESTERDAY_S - (DAY_S if number == 3 else 0), number)
        if tek.key.hex() in text.lower():
            found.add("key")
    if any(heard(CASE, YESTERDAY_S + s).payload.rpi.hex() in text.lower() for s in range(0, 1800, 600)):
        found.add("identifier")
    if CLOCK_TIME.search(text) or str(int(YESTERDAY_S)) in text:
        found.add("time of day")
    if any(
        int(number) % 5
        for number in re.findall(r"about (\d+) min|\"minutes\": (\d+)", text)
        for number in number
        if number
    ):
        found.add("exact minutes")
    if re.search(
        r"\b(two|2|three|3) (people|cases|persons|keys|contacts|neighbours)|(key|sighting|scan|neighbour)s? *\"?:", text
    ):
        found.add("count")
    return found


async def test_nothing_shown_or_logged_could_name_the_case(exposed: Device, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        told = await warn(exposed)
    shown = json.dumps(await alerts_as_json(exposed), ensure_ascii=False) + "\n".join(await alerts_in_words(exposed))
    # The test's server runs in this process and logs, too.
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("forewarn"))
    assert "new files" in logged
    for text in (shown, repr(told), logged):
        assert leaks(text) == set()


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (CASE.key.hex(), "key"),
        (heard(CASE, YESTERDAY_S).payload.rpi.hex().upper(), "identifier"),
        ("at 14:05", "time of day"),
        ("about 23 minutes", "exact minutes"),
        ('"keys": 2', "count"),
        ("near two people", "count"),
    ],
)
def test_the_search_for_leaks_finds_a_planted_one(planted: str, kind: str) -> None:
    assert leaks(f"On 2025-06-15 you were near someone {planted}") == {kind}


async def test_the_fields_of_an_alert_are_these_and_no_more(exposed: Device) -> None:
    await warn(exposed)
    for alert in await alerts_as_json(exposed):
        assert set(alert) == {"day", "minutes", "likelihood", "rule", "weak", "sentence", "reason", "advice"}


def test_every_sentence_exists_in_every_language_with_the_same_gaps() -> None:
    def gaps(sentence: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence)} - {None}

    for name, twins in translations._SENTENCES.items():
        assert set(twins) == set(LANGUAGES), name
        assert gaps(twins["vi"]) == gaps(twins["en"]), name
        assert twins["vi"] != twins["en"], name


@pytest.mark.parametrize("rule", ["minutes", "gaen", "cwa", "one of tomorrow"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_has_its_words(language: translations.Language, rule: str) -> None:
    alert = Alert(date(2025, 6, 15), 25, Likelihood.POSSIBLE, rule, weak=True)
    assert len(alert.reason(language)) > len(translations.say_rule(language, rule)) > 20
    assert "25" in alert.sentence(language)
