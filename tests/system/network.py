"""The way between one phone and the server: it can be cut, and it remembers what went over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class Network:
    """A TCP relay on 127.0.0.1 in front of a server: every byte is real, `connected = False` is a dead network."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._host, self._port = parts.hostname, parts.port
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected = True
        self.traffic = bytearray()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, server_url: str) -> AsyncIterator[Self]:
        network = cls(server_url)
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
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, upstream_writer))
                group.create_task(self._carry(upstream_reader, writer))
        finally:
            writer.close()
            upstream_writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.traffic += data
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
