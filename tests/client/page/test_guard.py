"""Nobody but the person reads the page or acts by it. Each check is shown to be needed by switching it off."""

import asyncio
import logging
import stat

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.page import guard
from forewarn_client.page.keys import PAGE_KEY_FILE, SESSION_S, PageKeys
from forewarn_client.status import look
from forewarn_simulations.clocks import VirtualClock
from tests.client.page.visitor import Visitor

READS_THE_PAGE = "Last time"


async def is_paused(device: Device) -> bool:
    return (await look(device)).paused_until_s is not None


async def test_the_link_is_traded_for_a_cookie_and_leaves_the_address_bar(visitor: Visitor) -> None:
    answer = await visitor.enter()
    token = PageKeys.open(visitor.settings.data).token
    assert answer.status == 303
    assert answer.headers["Location"] == f"{visitor.room}/"
    assert token not in answer.headers["Location"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    flags = {flag.strip() for flag in answer.headers["Set-Cookie"].split(";")[1:]}
    assert flags == {"HttpOnly", "SameSite=Strict", f"Path={visitor.room}/", f"Max-Age={SESSION_S}"}
    assert READS_THE_PAGE in (await visitor.get()).text


async def test_every_answer_is_closed_to_scripts_frames_caches_and_other_pages(visitor: Visitor) -> None:
    for page in (await visitor.get(), await visitor.ask("/nowhere/"), await visitor.ask("/page.css")):
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in page.headers
    assert "<script" not in (await visitor.get()).html


async def test_the_secret_is_for_its_owner_alone_and_in_no_page_address_or_log(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = visitor.settings.data / PAGE_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = PageKeys.open(visitor.settings.data).token
    await visitor.enter()
    await visitor.ask("/open/wrong")
    secrets = {token, path.read_bytes().hex(), visitor.cookie.partition("=")[2]}
    shown = (await visitor.get()).html + caplog.text
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("cookie", ["", "forewarn=", "forewarn=1.2", "forewarn=99999999999999.x", "forewarn=²5.x"])
async def test_without_the_cookie_nothing_is_read(visitor: Visitor, cookie: str) -> None:
    for path in ("", "code", "erase", "erased", "code/sent"):
        page = await visitor.get(path, Cookie=cookie)
        assert page.status == 403
        assert READS_THE_PAGE not in page.text
        assert "forewarn-client page" in page.text  # what a person who came without the link can do


async def test_a_cookie_opens_its_own_room_alone_and_ends(visitor: Visitor, clock: VirtualClock) -> None:
    first = visitor.room
    await visitor.enter()
    assert visitor.room != first
    assert (await visitor.ask(f"{first}/")).status == 403
    assert (await visitor.get()).status == 200
    clock.jump(SESSION_S + 1)
    assert (await visitor.get()).status == 403


async def test_a_new_secret_ends_the_link_and_every_session(visitor: Visitor) -> None:
    old = PageKeys.open(visitor.settings.data).token
    (visitor.settings.data / PAGE_KEY_FILE).unlink()
    assert (await visitor.get()).status == 403
    assert (await visitor.ask(f"/open/{old}")).status == 403
    await visitor.enter()
    assert (await visitor.get()).status == 200


async def test_a_name_that_leads_here_is_not_answered(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of evil.example whose name was made to lead to this machine, in the worst case with the cookie."""
    for host in ("evil.example", f"evil.example:{visitor.port}", "127.0.0.1", f"127.0.0.1.evil.example:{visitor.port}"):
        page = await visitor.get(Host=host)
        assert page.status == 421
        assert page.html == ""
    for host in (f"127.0.0.1:{visitor.port}", f"localhost:{visitor.port}", f"LocalHost:{visitor.port}"):
        assert (await visitor.get(Host=host)).status == 200
    monkeypatch.setattr(guard, "demand_own_host", lambda _: None)
    assert READS_THE_PAGE in (await visitor.get(Host="evil.example")).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},  # another user's program on this machine
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
async def test_no_other_page_pauses_the_device(
    visitor: Visitor, device: Device, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str | None]
) -> None:
    """In the worst case with cookie and form token; with the check switched off it does pause."""
    assert (await visitor.post("pause", {"for": "open"}, **headers)).status == 403
    assert not await is_paused(device)
    monkeypatch.setattr(guard, "demand_own_page", lambda _: None)
    assert (await visitor.post("pause", {"for": "open"}, **headers)).status == 303
    assert await is_paused(device)


async def test_the_pages_own_form_pauses_with_what_old_and_new_browsers_send(visitor: Visitor, device: Device) -> None:
    for headers in ({}, {"Sec_Fetch_Site": "same-origin"}, {"Origin": None, "Sec_Fetch_Site": "same-origin"}):
        assert (await visitor.post("pause", {"for": "open"}, **headers)).status == 303
        assert await is_paused(device)
        assert (await visitor.post("resume", **headers)).status == 303
        assert not await is_paused(device)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
async def test_no_other_page_reads_or_opens_the_link(visitor: Visitor, site: str) -> None:
    assert (await visitor.get(Sec_Fetch_Site=site)).status == 403
    token = PageKeys.open(visitor.settings.data).token
    assert (await visitor.ask(f"/open/{token}", Sec_Fetch_Site=site)).status == 403
    assert (await visitor.ask(f"/open/{token}", Sec_Fetch_Site="none")).status == 303


async def test_a_form_without_this_sessions_token_does_nothing(
    visitor: Visitor, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = visitor.form
    await visitor.enter()
    for token in (other, "", "x", visitor.form[:-1]):
        visitor.form = token
        assert (await visitor.post("pause", {"for": "open"})).status == 403
        assert not await is_paused(device)
    monkeypatch.setattr(PageKeys, "is_form_token", lambda *_: True)
    assert (await visitor.post("pause", {"for": "open"})).status == 303
    assert await is_paused(device)


async def test_wrong_links_are_limited_and_the_person_who_is_in_is_not(visitor: Visitor, clock: VirtualClock) -> None:
    await clock.run_for(0)
    token = PageKeys.open(visitor.settings.data).token
    answers = [(await visitor.ask(f"/open/{number}", Cookie="")).status for number in range(30)]
    assert answers == [403] * guard.WRONG_TRIES_PER_MINUTE + [429] * (30 - guard.WRONG_TRIES_PER_MINUTE)
    assert (await visitor.ask(f"/open/{token}")).status == 429
    assert (await visitor.get()).status == 200
    await clock.run_for(61)
    assert (await visitor.ask(f"/open/{token}")).status == 303


async def test_a_body_is_refused_before_it_is_parsed(visitor: Visitor, device: Device) -> None:
    large = {"form": visitor.form, "for": "open", "x": "y" * guard.MAX_BODY_BYTES}
    assert (await visitor.ask(f"{visitor.room}/pause", large)).status == 413

    async def unannounced() -> object:
        yield f"form={visitor.form}&for=open&x=".encode()
        yield b"y" * guard.MAX_BODY_BYTES

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await visitor.ask(f"{visitor.room}/pause", unannounced(), **form)).status == 413
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        assert (await visitor.ask(f"{visitor.room}/pause", b"{}", **{"Content-Type": kind})).status == 400
    assert not await is_paused(device)


async def test_a_body_that_does_not_come_is_given_up(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_WAIT_S", 0.05)

    async def stuck() -> object:
        yield b"form="
        await given_up.wait()

    given_up = asyncio.Event()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        assert (await visitor.ask(f"{visitor.room}/pause", stuck(), **form)).status == 400
    finally:
        given_up.set()


async def test_an_unknown_page_and_method_say_so(visitor: Visitor) -> None:
    assert (await visitor.get("nowhere")).status == 404
    assert (await visitor.ask("/")).status == 404
    assert (await visitor.get("code/nonsense")).status == 404
    assert (await visitor.post("pause", {"for": "ever"})).status == 400
    assert (await visitor.ask(f"{visitor.room}/pause", method="DELETE")).status == 405


async def test_a_secret_that_is_damaged_is_said_and_not_replaced(settings: ClientSettings, visitor: Visitor) -> None:
    (settings.data / PAGE_KEY_FILE).write_bytes(b"short")
    page = await visitor.ask("/open/x")
    assert page.status == 503
    assert "is damaged: delete it" in page.text
