"""What the person reads and does on the page."""

import string
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from forewarn_client import board, pausing, starting_over
from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.config import ClientSettings
from forewarn_client.connection import connect
from forewarn_client.device import DEVICE_KEY_FILE, Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.page import erasing
from forewarn_client.page.chart import DAYS, HEIGHT, bars
from forewarn_client.page.home import next_morning
from forewarn_client.page.texts import _TEXTS, tell_ago
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.pinned_feeds import ADVICE, refresh
from forewarn_client.presence import only_daemon
from forewarn_client.status import look
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.intervals import Interval, day_at, interval_at
from forewarn_protocol.risk import Likelihood
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.honest_server import HonestServer
from tests.client.meetings import phone
from tests.client.page.visitor import Visitor, visiting

TODAY = day_at(NOON_S)
CODE = "12345678"


async def warn(device: Device) -> None:
    day = TODAY - timedelta(days=2)
    await device.diary.record(ScanWindow(NOON_S - 2 * 86_400, None, {bytes(20): [(0, -50)]}))
    alert = Alert(day, 40, Likelihood.LIKELY, "minutes")
    await device.database.write(keep_and_tell, device.vault, [alert])


async def test_a_device_that_works_says_so_and_when_it_last_did_what(visitor: Visitor, device: Device) -> None:
    for name, ago_s in ((board.LAST_SCAN, 150), (board.LAST_DOWNLOAD, 3 * 3600), (board.LAST_MATCH, 3 * 3600)):
        await device.status.note(name, NOON_S - ago_s)
    with only_daemon(visitor.settings.data):
        page = await visitor.get()
    assert "Running The device is at work" in page.text
    assert "Listened around 2 min ago" in page.text
    assert "Fetched new data 3 h ago" in page.text
    assert "12:00" not in page.text
    assert "forewarn-client run" not in page.text


async def test_a_device_that_does_not_run_says_why_and_what_to_do(visitor: Visitor) -> None:
    page = await visitor.get()
    assert "Needs help" in page.text
    assert "To start it, run: forewarn-client run" in page.text
    assert "never yet" in page.text


async def test_a_fault_is_told_in_its_own_words_and_escaped(visitor: Visitor, device: Device) -> None:
    await device.status.note(board.FAULT_PREFIX + "listen", "the adapter <b>hci0</b> is gone")
    with only_daemon(visitor.settings.data):
        page = await visitor.get()
    assert "the adapter &lt;b&gt;hci0&lt;/b&gt; is gone" in page.html
    assert "<b>" not in page.html


async def test_before_the_first_start_there_is_one_sentence_and_no_diary_is_made(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    async with visiting(settings, clock) as visitor:
        page = await visitor.get()
        assert "Not started yet" in page.text
        assert not (settings.data / "diary.db").exists()
        for path in ("pause", "code"):
            visitor.form = dict((await visitor.get("code")).hidden())["form"]
            answer = await visitor.post(path, {"for": "open", "code": CODE})
            assert answer.status == 503
            assert "There is no diary" in answer.text


async def test_an_alert_says_what_to_do_and_whom_to_call_and_nothing_that_names_anybody(
    visitor: Visitor, device: Device
) -> None:
    await warn(device)
    page = await visitor.get()
    assert "Alert You may have been exposed" in page.text
    assert "On 14 June 2025 you were near someone who later tested positive: about 40 minutes" in page.text
    assert "Keep away from other people" in page.text  # no advice was ever fetched


async def test_the_advice_can_be_called_by_a_touch(server: HonestServer, clock: VirtualClock, tmp_path: Path) -> None:
    server.put_feeds()
    async with phone(server, tmp_path / "data", clock) as device:
        async with connect(server.url, clock) as connection:
            await refresh(device, connection, ADVICE)
        await warn(device)
        async with visiting(device.settings, clock) as visitor:
            page = await visitor.get()
            assert '<a class="button main" href="tel:19009095">' in page.html
            assert "Call Hotline" in page.text
            assert "Stay at home for five days." in page.text
            vietnamese = await visitor.get(Accept_Language="vi")
            assert "Hãy ở nhà" in vietnamese.text


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("vi", "vi"),
        ("en-GB,en;q=0.9", "en"),
        ("fr,vi;q=0.2,en;q=0.1", "vi"),
        ("vi;q=0,en;q=0.5", "en"),
        ("fr", "vi"),
        ("en;q=x", "vi"),
        (None, "vi"),
    ],
)
async def test_the_language_is_the_browsers_else_the_setting(
    visitor: Visitor, asked: str | None, language: str
) -> None:
    assert f'<html lang="{language}">' in (await visitor.get(Accept_Language=asked)).html


async def test_the_language_is_switched_on_the_page_and_stays(visitor: Visitor) -> None:
    answer = await visitor.get("?language=vi", Accept_Language="en")
    assert answer.headers["Location"] == f"{visitor.room}/"
    cookie = f"{visitor.cookie}; {answer.headers['Set-Cookie'].partition(';')[0]}"
    assert '<html lang="vi">' in (await visitor.get(Accept_Language="en", Cookie=cookie)).html
    assert (await visitor.get("?language=xx")).status == 200


def test_every_text_has_a_twin_in_each_language_with_the_same_gaps() -> None:
    for name, twins in _TEXTS.items():
        assert set(twins) == set(LANGUAGES), name
        gaps = {lang: {gap for _, gap, _, _ in string.Formatter().parse(text) if gap} for lang, text in twins.items()}
        assert gaps["vi"] == gaps["en"], name


def test_how_long_ago_is_said_and_never_when() -> None:
    assert tell_ago("en", NOON_S, None) == "never yet"
    assert tell_ago("en", NOON_S, NOON_S - 5) == "just now"
    assert tell_ago("vi", NOON_S, NOON_S - 600) == "10 phút trước"
    assert "set back" in tell_ago("en", NOON_S, NOON_S + 600)


def test_a_bar_is_as_high_as_its_day_and_a_day_with_one_signal_is_seen() -> None:
    drawn = bars({TODAY: 400, TODAY - timedelta(days=1): 1, TODAY - timedelta(days=40): 9999}, TODAY)
    assert [bar.day for bar in drawn] == [TODAY - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    assert [bar.height for bar in drawn[-3:]] == [0, 2, HEIGHT]
    assert drawn[-1].top == 0
    assert all(bar.height == 0 for bar in bars({}, TODAY))


async def test_encounters_are_a_picture_and_a_table(visitor: Visitor, device: Device) -> None:
    assert "Nobody was heard yet." in (await visitor.get()).text
    await device.diary.record(ScanWindow(NOON_S - 150, None, {bytes([1] * 20): [(0, -50)]}))
    page = await visitor.get()
    assert 'aria-label="A bar chart: signals heard on each of the last 14 days, 1 at most."' in page.html
    assert page.html.count("<rect") == 1
    assert "16 June 2025 1" in page.text


@pytest.mark.parametrize(
    ("span", "says"), [("hour", "Until "), ("tomorrow", "Until 06:00, "), ("open", "Until you press continue.")]
)
async def test_a_pause_is_begun_told_and_ended(visitor: Visitor, span: str, says: str) -> None:
    assert (await visitor.post("pause", {"for": span})).status == 303
    page = await visitor.get()
    assert "Paused" in page.text
    assert says in page.text
    assert "Continue now" in page.text
    assert "The device does not run at the moment, either." in page.text
    with only_daemon(visitor.settings.data):
        assert "falls silent in a moment" in (await visitor.get()).text
    assert (await visitor.post("resume")).status == 303
    assert "Continue now" not in (await visitor.get()).text


async def test_an_alert_is_not_hidden_by_a_pause(visitor: Visitor, device: Device) -> None:
    await warn(device)
    await pausing.pause(device, UNTIL_RESUMED)
    page = await visitor.get()
    assert "Alert You may have been exposed" in page.text
    assert "Continue now" in page.text


def test_until_tomorrow_is_six_in_the_morning_of_the_next_day(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
        time.tzset()
        morning = datetime.fromtimestamp(next_morning(NOON_S)).astimezone()  # noon in UTC is 19:00 there
        assert (morning.day, morning.hour, morning.minute) == (17, 6, 0)
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_erasing_asks_once_more(visitor: Visitor, device: Device) -> None:
    assert "nothing brings them back" in (await visitor.get("erase")).text
    answer = await visitor.post("erase", {"then": "anew"})
    assert answer.status == 422
    assert "Nothing was erased" in answer.text
    assert (device.settings.data / DEVICE_KEY_FILE).exists()


async def test_without_a_daemon_the_page_erases_itself_and_goes_on_in_a_new_session(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    async with Device.open(settings, clock) as device:
        await device.diary.record(ScanWindow(NOON_S - 150, None, {bytes(20): [(0, -50)]}))
    async with visiting(settings, clock) as visitor:
        old = visitor.room, visitor.cookie
        answer = await visitor.post("erase", {"sure": "yes"})
        visitor.follow(answer)
        assert "Everything was erased." in (await visitor.get("erased")).text
        assert not (settings.data / DEVICE_KEY_FILE).exists()
        assert (await visitor.ask(f"{old[0]}/", Cookie=old[1])).status == 403


async def test_a_daemon_is_asked_to_erase_and_a_slow_one_is_told_of(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_WAIT_S", 0.01)
    with only_daemon(visitor.settings.data):
        assert "Stay paused" in (await visitor.get("erase")).text
        answer = await visitor.post("erase", {"sure": "yes", "then": "off"})
        assert answer.headers["Location"] == f"{visitor.room}/erased"
        assert "has not finished" in (await visitor.get("erased")).text
        assert starting_over.is_asked(visitor.settings.data)


async def spoke(device: Device) -> None:
    now = interval_at(NOON_S)
    for days in (2, 1, 0):
        await device.keyring.next_identifier(Interval(now - 144 * days))


@pytest.fixture
async def reporter(server: HonestServer, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Visitor]:
    server.codes[CODE] = {}
    server.put_feeds()
    async with phone(server, tmp_path / "data", clock) as device:
        await spoke(device)
        async with visiting(device.settings, clock) as visitor:
            yield visitor


async def test_a_report_is_shown_agreed_to_and_sent(reporter: Visitor, server: HonestServer) -> None:
    consent = await reporter.post("code", {"code": "1234 5678", "onset": ""})
    assert server.url in consent.text
    assert "The keys become public" in consent.text
    assert "--drop-day" not in consent.text
    assert server.bodies == []  # nothing has left the device
    shown = [value for name, value in consent.hidden() if name == "shown"]
    assert len(shown) == 3
    values = [pair for pair in consent.hidden() if pair[0] != "form"] + [("send", day) for day in shown]
    answer = await reporter.post("code", values)
    assert answer.headers["Location"] == f"{reporter.room}/code/sent"
    assert "Sent. Thank you" in (await reporter.get("code/sent")).text
    assert len(server.stored_keys()) == 3
    again = await reporter.post("code", values)
    assert again.headers["Location"] == f"{reporter.room}/code/already"


async def test_a_day_without_its_mark_is_kept_back(reporter: Visitor, server: HonestServer) -> None:
    consent = await reporter.post("code", {"code": CODE, "onset": TODAY.isoformat()})
    shown = [value for name, value in consent.hidden() if name == "shown"]
    values = [pair for pair in consent.hidden() if pair[0] != "form"] + [("send", day) for day in shown[1:]]
    assert (await reporter.post("code", values)).headers["Location"] == f"{reporter.room}/code/sent"
    assert len(server.stored_keys()) == 2


async def test_what_was_not_shown_is_not_agreed_to(reporter: Visitor, server: HonestServer) -> None:
    forged = [("code", CODE), ("onset", ""), ("agreed", "0" * 64), ("agreed", "")]
    answer = await reporter.post("code", forged)
    assert "Do you agree to send this?" in answer.text
    consent = await reporter.post("code", {"code": CODE, "onset": TODAY.isoformat()})
    marks = [pair for pair in consent.hidden() if pair[0] == "agreed"]
    await reporter.enter()
    other_session = await reporter.post("code", [("code", CODE), ("onset", TODAY.isoformat()), *marks])
    assert "Do you agree to send this?" in other_session.text
    assert server.bodies == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"code": "1234", "onset": ""}, "This is no code"),
        ({"code": CODE, "onset": "2020-01-01"}, "must lie in the last 14 days: check that day."),
        ({"code": CODE, "onset": "soon"}, "Soon is no day"),
        ({}, "This is no code"),
    ],
)
async def test_a_code_that_can_not_be_is_said_beside_the_form(
    reporter: Visitor, values: dict[str, str], says: str
) -> None:
    page = await reporter.post("code", values)
    assert page.status == 422
    assert says in page.text
    assert 'role="alert"' in page.html
    assert f'value="{values.get("code", "")}"' in page.html


async def test_a_code_that_the_server_refuses_is_said(reporter: Visitor, server: HonestServer) -> None:
    server.codes.clear()
    consent = await reporter.post("code", {"code": CODE, "onset": ""})
    shown = [("send", value) for name, value in consent.hidden() if name == "shown"]
    page = await reporter.post("code", [pair for pair in consent.hidden() if pair[0] != "form"] + shown)
    assert page.status == 422
    assert "The code is wrong or already used" in page.text


async def test_a_look_changes_nothing(visitor: Visitor, device: Device) -> None:
    before = await device.status.read()
    await visitor.get()
    assert await device.status.read() == before
    assert (await look(device)).alerts == []
