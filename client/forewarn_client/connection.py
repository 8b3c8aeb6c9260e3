"""The one way to the server: bounded answers, real time limits, every network fault told as Missing."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from forewarn_protocol.cover import CHAFF_HEADER, REAL_HEADER
from forewarn_protocol.errors import BadFeed, BadMessage, ForewarnError, Missing
from forewarn_protocol.intervals import END_OF_DATES_S
from forewarn_shell.clock import Clock

MAX_ANSWER_BYTES: Final = 64 * 1024
"""An answer of the API is never larger than a request may be."""

_CHUNK_BYTES: Final = 64 * 1024
_OK: Final = 200
_GONE: Final = frozenset({404, 410})
# Network time is real time: a virtual clock must not decide when a real socket is given up.
_CONNECT_S, _SILENCE_S, _SMALLEST_S = 15, 30, 30
_SLOWEST_BYTES_PER_S: Final = 16 * 1024
# The same headers from every device. No compression is accepted: a limit then counts what is sent, nothing inflates.
_HEADERS: Final = {"User-Agent": "forewarn", "Accept": "*/*", "Accept-Encoding": "identity"}


def time_limit(limit_bytes: int) -> aiohttp.ClientTimeout:
    """Return how long an answer of at most so many bytes may take in all, on the slowest line that is of use.

    Without a total, a server that sends a byte now and then, or what no body counts, would hold a fetch for ever.
    """
    total_s = _SMALLEST_S + limit_bytes / _SLOWEST_BYTES_PER_S
    return aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)


class NoAnswer(Missing):
    """No whole answer came; a request that was sent may have arrived all the same."""


class Gone(Missing):
    """The server has no such file: it never had, or has forgotten it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: the HTTP status and the bytes of the body, which may hold a token or a certificate."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerTime:
    """What a server's Date said and when (monotonic); `is_named`: TLS says who the server is."""

    utc_s: float
    monotonic_s: float
    is_named: bool

    def at(self, monotonic_s: float) -> float:
        """Return what the server's clock shows at another moment (Unix seconds)."""
        return self.utc_s + monotonic_s - self.monotonic_s


class Connection:
    """Requests to one server: no cookies, no redirects followed.

    `server_time` comes from the Date headers of its answers; None while none had one.
    """

    def __init__(self, session: aiohttp.ClientSession, server: str, clock: Clock) -> None:
        self._session = session
        self._server = server
        self._clock = clock
        self.server_time: ServerTime | None = None

    async def get(self, path: str, limit_bytes: int) -> bytes:
        """Return the body of a public file.

        Raises:
            Gone: the server has no such file.
            Missing: the server cannot be reached or fails.
            BadFeed: the body is larger than the limit.
        """
        body = bytearray()
        await self.download(path, limit_bytes, body.extend)
        return bytes(body)

    async def download(self, path: str, limit_bytes: int, sink: Callable[[bytes], object]) -> None:
        """Hand the body of a public file to `sink` piece by piece; the same errors as `get`, a part already handed."""
        with _faults():
            async with self._session.get(
                self._server + path, allow_redirects=False, timeout=time_limit(limit_bytes)
            ) as response:
                self._note_date(response)
                if response.status in _GONE:
                    raise Gone(f"the server has no {path}: check the server's address and the region")
                if response.status != _OK:
                    raise Missing(f"the server answers {response.status} for {path}: try again later")
                too_large = BadFeed(f"{path} is larger than {limit_bytes} bytes: tell the server's operator")
                await _receive(response, limit_bytes, sink, too_large)

    async def post(
        self, path: str, body: bytes, *, content_type: str = "application/json", chaff: bool = False
    ) -> Answer:
        """Send a message and return the answer, whatever its status; with `chaff`, one that says nothing.

        Raises:
            Missing: no whole answer came; the request may have arrived all the same.
            BadMessage: the answer is larger than `MAX_ANSWER_BYTES`.
        """
        headers = {"Content-Type": content_type, CHAFF_HEADER if chaff else REAL_HEADER: "1"}
        received = bytearray()
        with _faults():
            async with self._session.post(
                self._server + path,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=time_limit(MAX_ANSWER_BYTES),
            ) as response:
                self._note_date(response)
                too_large = BadMessage("the server's answer is too large: tell the server's operator")
                await _receive(response, MAX_ANSWER_BYTES, received.extend, too_large)
                return Answer(response.status, bytes(received))

    def _note_date(self, response: aiohttp.ClientResponse) -> None:
        try:
            date_s = parsedate_to_datetime(response.headers["Date"]).timestamp()
            utc_s = date_s + int(response.headers.get("Age", "0"))
        except (KeyError, ValueError, TypeError, OverflowError):
            return  # a server without a readable Date tells nothing about this device's clock
        if not 0 <= utc_s < END_OF_DATES_S:
            return  # an Age of a thousand digits is no time either
        told = ServerTime(utc_s, self._clock.monotonic(), self._server.startswith("https://"))
        # A cache gives the Date of the moment in which it fetched: of several answers, the latest is the nearest.
        if self.server_time is None or told.utc_s > self.server_time.at(told.monotonic_s):
            self.server_time = told


@asynccontextmanager
async def connect(server: str | None, clock: Clock) -> AsyncIterator[Connection]:
    """Open a connection for one errand and close it afterwards, so that no session links two errands.

    Raises:
        Missing: no server is set.
    """
    if server is None:
        raise Missing("no server is set: give --server https://… and its feed key with --public-key")
    async with aiohttp.ClientSession(
        headers=_HEADERS, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        yield Connection(session, server.rstrip("/"), clock)


async def _receive(
    response: aiohttp.ClientResponse, limit_bytes: int, sink: Callable[[bytes], object], too_large: ForewarnError
) -> None:
    # Content-Length is the server's claim; what counts is what arrives.
    received = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        received += len(chunk)
        if received > limit_bytes:
            raise too_large
        sink(chunk)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        # The library's own sentence may hold an address.
        raise NoAnswer("the server cannot be reached: check the network and the server's address") from error
