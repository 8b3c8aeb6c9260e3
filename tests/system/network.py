"""The way between one phone and the server: it can be cut, and it remembers what went over it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Turn:
    """What one side says before the other answers: "up" from the phone, "down" from the server."""

    way: str
    at_s: float
    bytes: int = 0


class Network:
    """A TCP relay on 127.0.0.1 in front of a server: every byte is real, `connected = False` is a dead network.

    `connections` is what an eavesdropper sees of each: its turns, timed by `now`.
    """

    def __init__(self, server_url: str, now: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(server_url)
        self._host, self._port = parts.hostname, parts.port
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected = True
        self.traffic = bytearray()
        self.connections: list[list[Turn]] = []
        self._now = now
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, server_url: str, now: Callable[[], float] = time.monotonic) -> AsyncIterator[Self]:
        network = cls(server_url, now)
        relay = await asyncio.start_server(network._connection, "127.0.0.1", 0)
        network.url = f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}"
        async with relay:
            yield network
        for task in network._tasks:
            task.cancel()
        await asyncio.gather(*network._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.connected:
            writer.transport.abort()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(self._host, self._port)
        turns: list[Turn] = []
        self.connections.append(turns)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, upstream_writer, turns, "up"))
                group.create_task(self._carry(upstream_reader, writer, turns, "down"))
        finally:
            writer.close()
            upstream_writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turns: "list[Turn]", way: str
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.traffic += data
                if not turns or turns[-1].way != way:
                    turns.append(Turn(way, self._now()))
                turns[-1].bytes += len(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
