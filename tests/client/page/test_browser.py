"""The page in a real Chromium at the size of a phone: it works without JavaScript, and no other page gets in."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from forewarn_client.connection import connect
from forewarn_client.device import Device
from forewarn_client.page import guard
from forewarn_client.page.address import link
from forewarn_client.page.keys import PageKeys
from forewarn_client.pinned_feeds import ADVICE, refresh
from forewarn_client.status import look
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer
from tests.client.meetings import phone
from tests.client.page.gallery import CODE, live_a_fortnight, states
from tests.client.page.visitor import Visitor, visiting
from tests.conftest import lacking

pytestmark = [pytest.mark.slow, pytest.mark.chromium]

PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
"""What is left of 640 pixels at a zoom of 200 %."""
GRAVE = {"serious", "critical"}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        lacking("chromium", "no chromium is installed: install Debian's chromium and fonts-dejavu-core")
    async with async_playwright() as driver:
        launched = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest.fixture
async def person(
    server: HonestServer, clock: VirtualClock, tmp_path: Path
) -> AsyncIterator[tuple[Visitor, Device, HonestServer]]:
    """Give the page of a device that has lived a fortnight, and the server that it knows."""
    server.codes[CODE] = {}
    server.put_feeds()
    async with phone(server, tmp_path / "data", clock) as device:
        async with connect(server.url, clock) as connection:
            await refresh(device, connection, ADVICE)
        await live_a_fortnight(device)
        async with visiting(device.settings, clock) as visitor:
            yield visitor, device, server


@asynccontextmanager
async def at(browser: Browser, visitor: Visitor, **given: Any) -> AsyncIterator[Page]:
    """Open the page by its link in a browser of its own."""
    context: BrowserContext = await browser.new_context(**given)
    context.set_default_timeout(10_000)
    page = await context.new_page()
    await page.goto(link(visitor.settings, visitor.port))
    yield page
    await context.close()


def room(page: Page) -> str:
    return "/" + urlsplit(page.url).path.split("/")[1]


async def test_the_link_leaves_the_address_bar_and_the_page_needs_no_script(
    browser: Browser, person: tuple[Visitor, Device, HonestServer]
) -> None:
    visitor, _, _ = person
    async with at(browser, visitor, viewport=PHONE, java_script_enabled=False) as page:
        assert PageKeys.open(visitor.settings.data).token not in page.url
        assert await page.locator("h1").count() == 1
        assert await page.evaluate("getComputedStyle(document.body).maxWidth") == "576px"  # the style was let in


@pytest.mark.parametrize(("language", "scheme"), [("vi", "light"), ("en", "dark")])
async def test_every_state_is_accessible_and_fits_a_phone(
    browser: Browser,
    person: tuple[Visitor, Device, HonestServer],
    language: str,
    scheme: Literal["light", "dark"],
    tmp_path: Path,
) -> None:
    visitor, device, _ = person
    pictures = Path(os.environ.get("FOREWARN_PICTURES", tmp_path))
    seen, problems = [], []
    given = {"viewport": PHONE, "locale": language, "color_scheme": scheme}  # with scripts: axe-core is one
    async with at(browser, visitor, **given) as page:
        inside = room(page)
        async for name in states(page, visitor.origin, lambda: inside, device):
            seen.append(name)
            assert await page.evaluate("document.documentElement.lang") == language
            await page.screenshot(path=pictures / f"{name}-{language}-{scheme}.png", full_page=True)
            problems += [(name, problem) for problem in await grave_problems(page)]
            problems += [(name, problem) for problem in await overflows(page)]
    assert len(set(seen)) == len(seen) == 12
    assert problems == []


async def grave_problems(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical."""
    found = await Axe().run(page)
    return [violation["id"] for violation in found.response["violations"] if violation["impact"] in GRAVE]


async def overflows(page: Page) -> list[str]:
    """Return the ways of looking at a page in which it has to be scrolled sideways."""
    found = []
    for way, size, text in (("phone", PHONE, "100%"), ("200 %", NARROW, "100%"), ("large text", PHONE, "200%")):
        await page.set_viewport_size(size)  # type: ignore[arg-type]  # a dict of the library's own kind
        await page.evaluate(f"document.documentElement.style.fontSize = '{text}'")
        if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append(f"scrolls sideways: {way}")
    await page.evaluate("document.documentElement.style.fontSize = ''")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # as above
    return found


async def test_a_planted_fault_is_found(browser: Browser, person: tuple[Visitor, Device, HonestServer]) -> None:
    """Positive control of the two checks above."""
    visitor, _, _ = person
    async with at(browser, visitor, viewport=PHONE) as page:
        assert await grave_problems(page) == []
        await page.evaluate("document.querySelector('button').innerHTML = ''")
        await page.evaluate("document.querySelector('h1').style.color = 'inherit'")
        assert "button-name" in await grave_problems(page)
        await page.evaluate("document.querySelector('h1').style.whiteSpace = 'nowrap'")
        await page.evaluate("document.querySelector('h1').textContent = 'x'.repeat(400)")
        assert "scrolls sideways: phone" in await overflows(page)


async def test_a_report_is_sent_with_the_keyboard_alone(
    browser: Browser, person: tuple[Visitor, Device, HonestServer]
) -> None:
    visitor, _, server = person
    async with at(browser, visitor, viewport=PHONE, locale="en", java_script_enabled=False) as page:

        async def tab_to(selector: str) -> None:
            for _ in range(40):
                await page.keyboard.press("Tab")
                if await page.evaluate("s => document.activeElement.matches(s)", selector):
                    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert outline != "none"  # it is seen where one is
                    return
            raise AssertionError(f"the keyboard does not reach {selector}")

        async def press_enter() -> None:
            async with page.expect_navigation():
                await page.keyboard.press("Enter")

        await tab_to("a[href$='/code']")
        await press_enter()
        await tab_to("#code")
        await page.keyboard.type(CODE)
        await tab_to("button")
        await press_enter()
        assert "Do you agree" in await page.inner_text("h1")
        await tab_to("input[type=checkbox]")
        await page.keyboard.press("Space")  # the first day is kept back
        await tab_to("button")
        await press_enter()
        assert "Done" in await page.inner_text("h1")
    assert len(server.stored_keys()) == 2


async def test_a_pause_and_an_erasure_are_done_by_touch(
    browser: Browser, person: tuple[Visitor, Device, HonestServer]
) -> None:
    visitor, device, _ = person
    given = {"viewport": PHONE, "locale": "en", "has_touch": True, "is_mobile": True, "java_script_enabled": False}
    async with at(browser, visitor, **given) as page:

        async def tap(selector: str) -> None:
            async with page.expect_navigation():
                await page.tap(selector)

        await tap("button[value=hour]")
        assert await page.inner_text("h1") == "Paused"
        await tap("text=Continue now")
        assert (await look(device)).paused_until_s is None
        small = [
            await target.inner_text()
            for target in await page.locator("button, .button, header a, summary").all()
            if (await target.bounding_box() or {"height": 0})["height"] < 44
        ]
        assert small == []
        await tap("text=Erase everything")
        await page.tap("text=Erase for good")
        assert "Erase everything on this device?" in await page.inner_text("h1")  # the browser asks for the mark
        await page.check("[name=sure]")
        await tap("text=Erase for good")
        assert "Everything was erased." in await page.inner_text("main")


HOSTILE = """<!doctype html><title>prize</title><body>
<iframe name=inside src="{target}{room}/"></iframe><img src="{target}{room}/"><script>
const read = [], target = "{target}{room}/";
async function attack() {{
  for (const mode of ["cors", "no-cors"]) for (const credentials of ["include", "omit"])
    try {{ const a = await fetch(target, {{mode, credentials}}); read.push(await a.text()); }} catch (e) {{}}
  try {{ await fetch(target + "pause", {{method: "POST", mode: "no-cors", credentials: "include",
         body: new URLSearchParams({{form: "{form}", for: "open"}})}}); }} catch (e) {{}}
  try {{ read.push(frames.inside.document.body.innerText); }} catch (e) {{}}
  const opened = window.open(target);
  await new Promise(r => setTimeout(r, 300));
  try {{ read.push(opened.document.body.innerText); }} catch (e) {{}}
  const form = document.createElement("form");
  form.method = "post"; form.action = target + "pause"; form.target = "inside";
  for (const [name, value] of [["form", "{form}"], ["for", "open"]])
    form.append(Object.assign(document.createElement("input"), {{name, value}}));
  document.body.append(form); form.submit();
  await new Promise(r => setTimeout(r, 300));
  return read.join(" ");
}}
</script>"""


@asynccontextmanager
async def hostile_page(visitor: Visitor, name: str, inside: str, form: str) -> AsyncIterator[str]:
    """Serve a page of somebody else, who even knows the room and a form's token."""

    async def answer(_request: web.Request) -> web.Response:
        html = HOSTILE.format(target=visitor.origin, room=inside, form=form)
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        yield f"http://{name}:{server.port}/"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("guarded", [True, False])
async def test_a_hostile_page_in_the_same_browser_reads_and_does_nothing(
    browser: Browser,
    person: tuple[Visitor, Device, HonestServer],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    *,
    guarded: bool,
) -> None:
    """Another port of this machine is the same site, whose requests carry the cookie; unguarded, it reads and acts."""
    visitor, device, _ = person
    async with at(browser, visitor, locale="en") as page:
        inside = room(page)
        token = await page.locator("[name=form]").first.get_attribute("value")
        async with hostile_page(visitor, name, inside, token or "") as address:
            if not guarded:
                monkeypatch.setattr(guard, "demand_own_page", lambda _: None)
                open_to_all = {
                    "Access-Control-Allow-Origin": address.rstrip("/"),
                    "Access-Control-Allow-Credentials": "true",
                }
                monkeypatch.setattr(guard, "_HEADERS", open_to_all)
            await page.goto(address)
            read = await page.evaluate("attack()")
    has_worked = "Last time" in read, (await look(device)).paused_until_s is not None
    # From another site not even the cookie is sent (SameSite=Strict): there, the guards are the second wall.
    assert has_worked == ((True, True) if not guarded and name == "127.0.0.1" else (False, False))
