import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from forewarn_client.condition import State
from forewarn_client.telling.desktop import show
from forewarn_client.telling.news import Notification, Told
from forewarn_client.telling.notify_command import Show, keep_showing
from forewarn_protocol.advice import LANGUAGES
from forewarn_protocol.errors import BadInput, Missing
from forewarn_simulations.clocks import ScaledClock
from tests.client.conftest import NOON_S
from tests.client.telling.fake_desktop import FakeDesktop, fake_desktop
from tests.waiting import until

BETRAYING = ("expos", "contact", "infect", "near", "minute", "tiếp xúc", "nhiễm", "phơi", "phút", "2025")


def state(
    *, days: tuple[str, ...] = (), withdrawn: tuple[str, ...] = (), condition: State = State.RUNNING
) -> dict[str, Any]:
    return {
        "condition": condition,
        "reason": dict.fromkeys(LANGUAGES, "the disk is full"),
        "alerts": [{"day": day, "minutes": 25} for day in days],
        "withdrawn": [{"day": day} for day in withdrawn],
    }


@pytest.fixture
async def desktop(system_bus: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDesktop]:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", system_bus)
    async with fake_desktop(system_bus) as desktop:
        yield desktop


@asynccontextmanager
async def telling(path: Path, *lines: bytes) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Be a daemon that tells these lines to whoever comes, and then stays; gives all that have come."""

    writers = list[asyncio.StreamWriter]()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        for line in lines:
            writer.write(line + b"\n")

    server = await asyncio.start_unix_server(tell, path)
    try:
        yield writers
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # in which they are closed


def test_each_warning_and_each_end_of_one_is_shown_once() -> None:
    told = Told(None)
    assert not told.news_in(state(), "en")
    assert len(told.news_in(state(days=("2025-06-14",)), "en")) == 1
    assert not told.news_in(state(days=("2025-06-14",)), "en")
    assert len(told.news_in(state(days=("2025-06-14", "2025-06-15")), "en")) == 1
    assert len(told.news_in(state(days=("2025-06-15",), withdrawn=("2025-06-14",)), "en")) == 1
    assert not told.news_in(state(), "en")


def test_a_call_for_help_is_shown_once_until_the_device_has_worked_in_between() -> None:
    told = Told(None)
    (first,) = told.news_in(state(condition=State.CALL), "en")
    assert not first.urgent
    assert "disk" in first.body
    for condition in (State.CALL, State.STALE, State.CALL, State.ALERT, State.CALL, State.RUNNING):
        assert not told.news_in(state(condition=condition), "en")
    assert told.news_in(state(condition=State.CALL), "en") == [first]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_screen_that_others_see_does_not_say_what_the_message_is_about(language: str) -> None:
    """An alert and its end look alike, too."""
    (warned,) = Told(None).news_in(state(days=("2025-06-14",)), language)  # type: ignore[arg-type]  # one of them
    (ended,) = Told(None).news_in(state(withdrawn=("2025-06-14",)), language)  # type: ignore[arg-type]
    assert warned == ended
    text = f"{warned.title} {warned.body}".lower()
    assert not [word for word in BETRAYING if word in text]


def test_a_program_that_is_started_anew_says_nothing_twice_and_keeps_only_what_stands(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    told = Told.read(path)
    told.news_in(state(days=("2025-06-14",), condition=State.CALL), "en")
    told.keep()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Told.read(path)
    assert not again.news_in(state(days=("2025-06-14",), condition=State.CALL), "en")
    again.news_in(state(), "en")
    again.keep()
    assert "2025-06-14" not in path.read_text()
    path.write_text('{"days": 7}')
    assert Told.read(path).days == set()


def test_a_state_of_another_form_is_one_line() -> None:
    for odd in ({}, {**state(), "alerts": [1]}, {**state(), "alerts": 3}, {**state(), "reason": "x"}):
        with pytest.raises(BadInput, match="update Forewarn"):
            Told(None).news_in(odd, "en")


async def test_a_message_stays_on_the_screen_until_it_is_dismissed(desktop: FakeDesktop) -> None:
    await show(Notification("title", "body", urgent=True))
    await show(Notification("title", "body", urgent=False))
    assert desktop.shown == [("title", "body")] * 2
    assert [hints["urgency"] for hints in desktop.hints] == [2, 1]


async def test_a_desktop_that_is_not_there_or_refuses_is_one_line(
    desktop: FakeDesktop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desktop.refuses = True
    with pytest.raises(Missing, match="nothing on this desktop shows notifications"):
        await show(Notification("title", "body", urgent=True))
    for address in (f"unix:path={tmp_path / 'nobody'}", "nonsense"):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        with pytest.raises(Missing, match="no desktop can be reached"):
            await show(Notification("title", "body", urgent=True))


@asynccontextmanager
async def notifying_here(path: Path, told: Told, show: Show) -> AsyncIterator[None]:
    """Let the program's heart beat here, a thousand times as fast."""
    showing = asyncio.create_task(keep_showing(path, told, "vi", show, ScaledClock(NOON_S, 1000)))
    try:
        yield
        assert not showing.done()
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def test_what_the_desktop_refused_is_shown_when_it_is_ready_and_only_once(
    desktop: FakeDesktop, tmp_path: Path
) -> None:
    desktop.refuses = True
    path, kept = tmp_path / "state.sock", tmp_path / "told.json"
    line = json.dumps(state(days=("2025-06-14",))).encode()
    async with telling(path, line, line), notifying_here(path, Told(kept), show):
        await until(lambda: desktop.refused > 1)
        desktop.refuses = False
        await until(kept.exists)
        # Both lines were read by then, or are: nothing more is shown of the second.
        await asyncio.sleep(0.05)
    assert len(desktop.shown) == 1


async def test_a_daemon_that_comes_back_is_not_shown_again_where_nothing_can_be_written_down(tmp_path: Path) -> None:
    shown: list[Notification] = []

    async def keep(notification: Notification) -> None:
        shown.append(notification)

    path = tmp_path / "state.sock"
    line = json.dumps(state(days=("2025-06-14",))).encode()
    async with notifying_here(path, Told(None), keep):
        for _ in range(3):
            async with telling(path, line, b"nonsense") as come:
                await until(lambda: len(come) > 1)
            path.unlink(missing_ok=True)
    assert len(shown) == 1


async def test_whatever_comes_over_the_socket_the_program_goes_on_and_says_each_thing_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[Notification] = []

    async def keep(notification: Notification) -> None:
        shown.append(notification)

    path = tmp_path / "state.sock"
    async with notifying_here(path, Told(None), keep):
        for nonsense in (b"{", b"[]", b"\xff\xfe", b"[" * 200_000, b"{}", b"x" * 2_000_000):
            async with telling(path, nonsense) as visits:
                await until(lambda visits=visits: len(visits) > 1)  # type: ignore[misc]  # it came back
            path.unlink(missing_ok=True)
        async with telling(path, json.dumps(state(days=("2025-06-14",))).encode()):
            await until(lambda: bool(shown))
    assert len(shown) == 1
    assert caplog.text.count("no daemon tells its state") <= 7  # once for each time that it was away


@contextmanager
def notifying(path: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "forewarn_client", "--data", str(path.parent), "notify", "--socket", str(path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        try:
            yield process
        finally:
            process.kill()


async def test_the_command_shows_what_a_daemon_tells_and_ends_with_0_on_sigterm(
    desktop: FakeDesktop, system_bus: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.sock"
    environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": system_bus, "XDG_RUNTIME_DIR": str(tmp_path)}
    async with telling(path, json.dumps(state(days=("2025-06-14",))).encode()):
        with notifying(path, environment) as process:
            async with asyncio.timeout(30):
                while not desktop.shown:  # noqa: ASYNC110 - the fake has no event for it
                    await asyncio.sleep(0.01)
            await until((tmp_path / "forewarn-told.json").exists)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 0
    assert desktop.shown[0][0] == "Có tin nhắn dành cho bạn"
