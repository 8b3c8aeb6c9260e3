"""A server that speaks raw bytes: it serves an honest server's files, but for the paths that it was told to spoil."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.client.honest_server import HonestServer

MEGABYTE = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
A_CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


@dataclass
class Line:
    """One connection, from the server's side; `sent` counts what was written on it."""

    writer: asyncio.StreamWriter
    sent: int = 0

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    async def for_ever(self, data: bytes, pause_s: float = 0) -> None:
        while True:
            await self.send(data)
            await asyncio.sleep(pause_s)

    def reset(self) -> None:
        """Cut the line so that the other side meets a reset, not an end."""
        self.writer.transport.abort()


Behaviour = Callable[[Line], Awaitable[None]]


@dataclass
class HostileServer:
    honest: HonestServer
    url: str = ""
    spoiled: dict[str, Behaviour] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(writer)
        self.lines.append(line)
        # A client that has had enough closes the line.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._answer(line, reader)
            finally:
                writer.close()

    async def _answer(self, line: Line, reader: asyncio.StreamReader) -> None:
        if "" in self.spoiled:
            await self.spoiled[""](line)
            return
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            length = next((int(each[15:]) for each in head.split(b"\r\n") if each.startswith(b"Content-Length:")), 0)
            await reader.readexactly(length)
            self.asked.append(path)
            if path in self.spoiled:
                await self.spoiled[path](line)
                return
            body = self.honest.files.get(path, b"")
            status = b"200 OK" if body else b"404 Not Found"
            await line.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    @property
    def sent(self) -> int:
        return sum(line.sent for line in self.lines)


@asynccontextmanager
async def hostile(honest: HonestServer) -> AsyncIterator[HostileServer]:
    """Serve on 127.0.0.1 until the block ends, then cut every line."""
    server = HostileServer(honest)
    async with asyncio.TaskGroup() as lines:
        tasks: list[asyncio.Task[None]] = []

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(lines.create_task(server.serve(reader, writer), name="a hostile line"))

        listening = await asyncio.start_server(begin, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            listening.close()
            for task in tasks:
                task.cancel()
