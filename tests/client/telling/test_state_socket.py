import asyncio
import json
import select
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from forewarn_client.condition import State
from forewarn_client.config import ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.device import Device
from forewarn_client.radio.loopback import Air, EmptyRoom, LoopbackRadio
from forewarn_client.telling.state import LOOK_EACH_S
from forewarn_client.telling.state_socket import MOST_CLIENTS, share_state, short_name
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Missing
from forewarn_simulations.clocks import VirtualClock
from tests.client.meetings import key_of_day, meet
from tests.client.telling.stirring import DAY, warn

OPTIONAL = {"encounters", "erasures", "damaged_entries"}


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Connection]:
    with short_name(path) as name:
        reader, writer = await asyncio.open_unix_connection(name)
    try:
        yield reader, writer
    finally:
        writer.close()


async def next_state(connection: Connection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        state: dict[str, Any] = json.loads(await connection[0].readline())
    return state


@asynccontextmanager
async def sharing(device: Device, path: Path) -> AsyncIterator[None]:
    told = asyncio.Event()

    async def work() -> None:
        async for _ in share_state(device, path):
            told.set()

    task = asyncio.create_task(work())
    async with asyncio.timeout(5):
        await told.wait()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_running_daemon_tells_its_state_at_once_and_again_when_a_warning_comes(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "state.sock"
    settings = ClientSettings(data=tmp_path / "data", language="en", state_socket=path)
    radio = LoopbackRadio(Air(clock, EmptyRoom()), "a", Timing())
    daemon = asyncio.create_task(Daemon(settings, clock, radio, Timing()).run())
    try:
        await clock.run_for(5)
        async with connected(path) as connection, Device.open(settings, clock) as device:
            first = await next_state(connection)
            assert (first["running"], first["condition"], first["alerts"]) == (True, State.STALE, [])
            await warn(device)
            await clock.run_for(LOOK_EACH_S + 1)
            then = await next_state(connection)
            assert (then["condition"], then["check"]) == (State.ALERT, 4)
            assert [alert["day"] for alert in then["alerts"]] == [DAY.isoformat()]
    finally:
        daemon.cancel()
        await asyncio.gather(daemon, return_exceptions=True)
    assert not path.exists(), "a socket that nobody listens on"


async def test_nothing_of_the_diary_is_told(tmp_path: Path, clock: VirtualClock, device: Device) -> None:
    tek = key_of_day(clock.utc(), 1)
    await meet(device, tek, clock.utc() - 3600, 30)
    path = tmp_path / "state.sock"
    async with sharing(device, path), connected(path) as connection:
        state = await next_state(connection)
    assert not state.keys() & OPTIONAL
    assert tek.key.hex() not in json.dumps(state)


async def test_owner_and_group_may_read_it_and_nobody_else(tmp_path: Path, clock: VirtualClock, device: Device) -> None:
    del clock
    path = tmp_path / "state.sock"
    async with sharing(device, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_time_that_passes_is_no_news(tmp_path: Path, clock: VirtualClock, device: Device) -> None:
    path = tmp_path / "state.sock"
    async with sharing(device, path), connected(path) as connection:
        await next_state(connection)
        await clock.run_for(3600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection[0].readline()


async def test_who_says_anything_is_cut_off_and_the_others_are_not(
    tmp_path: Path, clock: VirtualClock, device: Device
) -> None:
    path = tmp_path / "state.sock"
    async with sharing(device, path), connected(path) as loud, connected(path) as quiet:
        await next_state(loud)
        await next_state(quiet)
        loud[1].write(b"erase\n")
        async with asyncio.timeout(5):
            assert await loud[0].read() == b""
        await warn(device)
        await clock.run_for(LOOK_EACH_S + 1)
        assert (await next_state(quiet))["condition"] == State.ALERT


async def test_there_is_room_for_so_many_and_a_place_that_becomes_free_is_given_again(
    tmp_path: Path, clock: VirtualClock, device: Device
) -> None:
    del clock
    path = tmp_path / "state.sock"
    async with sharing(device, path), connected(path) as first:
        await next_state(first)
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(MOST_CLIENTS - 1)]
        for one in crowd:
            await asyncio.to_thread(one.connect, str(path))
            await asyncio.to_thread(one.recv, 1)
        async with connected(path) as late, asyncio.timeout(5):
            assert await late[0].read() == b""
        crowd.pop().close()
        async with asyncio.timeout(5):
            while True:  # until the daemon has noticed
                async with connected(path) as again:
                    if await again[0].readline():
                        break
        for one in crowd:
            one.close()


async def test_a_reader_that_does_not_read_is_cut_off_and_costs_no_memory(
    tmp_path: Path, clock: VirtualClock, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forewarn_client.telling.state_socket._UNREAD_BYTES", 0)  # as after months of changes
    path = tmp_path / "state.sock"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        async with sharing(device, path), connected(path) as other:
            await asyncio.to_thread(deaf.connect, str(path))
            await next_state(other)
            for number in range(1, 400):
                await device.status.note_fault("speak", f"{number}" * 200)
                await clock.run_for(LOOK_EACH_S + 1)
                await next_state(other)
                if await asyncio.to_thread(_is_cut_off, deaf):
                    return
    raise AssertionError("the reader that does not read was kept")


def _is_cut_off(one: socket.socket) -> bool:
    poll = select.poll()
    poll.register(one, 0)
    return bool(poll.poll(0))


async def test_what_an_earlier_run_left_makes_room_and_a_file_of_somebodys_does_not(
    tmp_path: Path, clock: VirtualClock, device: Device
) -> None:
    del clock
    path = tmp_path / "state.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with sharing(device, path), connected(path) as connection:
        assert await next_state(connection)
    path.write_text("mine")
    with pytest.raises(Missing, match="state_socket"):
        await anext(share_state(device, path))
    assert path.read_text() == "mine"


async def test_a_folder_that_is_not_there_is_one_line_and_a_deep_one_is_no_obstacle(
    tmp_path: Path, clock: VirtualClock, device: Device
) -> None:
    del clock
    deep = tmp_path / ("d" * 120)
    with pytest.raises(Missing, match=r"No such file or directory.*check state_socket"):
        await anext(share_state(device, deep / "state.sock"))
    deep.mkdir()
    async with sharing(device, deep / "state.sock"), connected(deep / "state.sock") as connection:
        assert await next_state(connection)
