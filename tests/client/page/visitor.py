"""The page of one device on a real socket, and a program that asks it for whatever it likes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape

import aiohttp
from aiohttp import web

from forewarn_client.config import ClientSettings
from forewarn_client.page.address import link, listen, names
from forewarn_client.page.app import create_app
from forewarn_client.page.reporting import TIMING
from forewarn_shell.clock import Clock
from tests.client.meetings import AT_ONCE


@dataclass
class Page:
    """What came back; `text` is as a person reads it, without tags."""

    status: int
    headers: dict[str, str]
    html: str

    @property
    def text(self) -> str:
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.html)).split())

    def hidden(self) -> list[tuple[str, str]]:
        """Return what a form of this page would send by itself."""
        return re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', self.html)


@dataclass
class Visitor:
    """Somebody who has opened the link, unless `cookie` and `room` are taken away."""

    settings: ClientSettings
    session: aiohttp.ClientSession
    port: int
    room: str = ""
    cookie: str = ""
    form: str = ""
    language: str = "en"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, path: str, data: object = None, method: str | None = None, **headers: str | None) -> Page:
        """Send one request; a header of None is left out, `Host` and all others are as given."""
        sent = {"Accept-Language": self.language, "Cookie": self.cookie, **self.headers}
        if data is not None:
            sent["Origin"] = self.origin
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]  # None goes below
        sent = {name: value for name, value in sent.items() if value}
        method = method or ("GET" if data is None else "POST")
        async with self.session.request(
            method, f"{self.origin}{path}", data=data, headers=sent, allow_redirects=False
        ) as answer:
            return Page(answer.status, dict(answer.headers), await answer.text())

    async def get(self, path: str = "", **headers: str | None) -> Page:
        """Ask for a page of the room."""
        return await self.ask(f"{self.room}/{path}", **headers)

    async def post(self, path: str, values: object = (), **headers: str | None) -> Page:
        """Send a form of the room as its page would."""
        pairs = list(values.items()) if isinstance(values, dict) else list(values)  # type: ignore[call-overload]
        return await self.ask(f"{self.room}/{path}", aiohttp.FormData([("form", self.form), *pairs]), **headers)

    async def enter(self) -> Page:
        """Open the link as a browser does."""
        path = link(self.settings, self.port).removeprefix(self.origin)
        answer = await self.ask(path, Cookie=None)
        self.follow(answer)
        self.form = dict((await self.get()).hidden()).get("form", "")
        return answer

    def follow(self, answer: Page) -> None:
        """Take the cookie of a redirect, and go into its room."""
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        self.room = "/" + answer.headers["Location"].split("/")[1]


@asynccontextmanager
async def visiting(settings: ClientSettings, clock: Clock) -> AsyncIterator[Visitor]:
    """Serve the page, and give somebody who has entered by the link."""
    with listen(settings) as listener:
        app = create_app(settings, clock, names(listener))
        app[TIMING] = AT_ONCE
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                visitor = Visitor(settings, session, port)
                await visitor.enter()
                yield visitor
        finally:
            await runner.cleanup()
