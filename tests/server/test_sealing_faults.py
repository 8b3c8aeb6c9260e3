"""Two seals at once, and a seal that stopped between any two of its steps."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from forewarn_server.config import ServerSettings
from forewarn_server.context import open_context
from forewarn_server.exports import batches
from forewarn_server.exports.sealing import exports_folder, publish_index, seal, sealing_rules
from forewarn_server.public.turn import publishing_turn
from tests.server.hand_clock import HandClock
from tests.server.published_files import exports_of, index_of, texts_in, texts_of, until
from tests.server.reporting_phone import Phone, published
from tests.server.running_server import RunningServer, running


async def reports(server: RunningServer, people: int = 3) -> set[str]:
    all_keys = [Phone(server).past_keys() for _ in range(people)]
    for keys in all_keys:
        await published(server, keys)
    return texts_of(*all_keys)


async def assert_each_is_published_once(server: RunningServer, expected: set[str]) -> None:
    found = Counter(text for export in await exports_of(server) for text in texts_in(export))
    assert expected <= set(found)
    assert set(found.values()) == {1}


async def test_five_seals_at_once_publish_each_key_once(server: RunningServer, settings: ServerSettings) -> None:
    expected = await reports(server)
    async with open_context(settings, server.clock) as another:
        sealed = await asyncio.gather(*(seal(context) for context in [server.context, another] * 3))
    assert sorted(each.files for each in sealed) == [0, 0, 0, 0, 0, 1]
    await assert_each_is_published_once(server, expected)


async def test_publishes_that_arrive_while_a_seal_runs_are_in_this_file_or_the_next(server: RunningServer) -> None:
    expected = await reports(server)
    arriving = [Phone(server).past_keys() for _ in range(6)]
    await asyncio.gather(seal(server.context), *(published(server, keys) for keys in arriving), seal(server.context))
    server.clock.advance(6 * 3_600)
    await seal(server.context)
    await assert_each_is_published_once(server, expected | texts_of(*arriving))


def seal_now(data: Path) -> "subprocess.Popen[str]":
    command = [Path(sys.executable).with_name("forewarn-server"), "seal-now", "--data", data, "--json"]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def test_seal_now_beside_a_running_server_publishes_no_key_twice(settings: ServerSettings) -> None:
    # The command reads the machine's clock, so the server beside it stands at the same time.
    async with running(settings, HandClock(now_s=time.time())) as server:
        expected = await reports(server)
        commands = [seal_now(settings.data) for _ in range(2)]
        own = await seal(server.context)
        files = own.files
        for command in commands:
            output, errors = await asyncio.to_thread(command.communicate, timeout=60)
            assert command.returncode == 0, errors
            files += json.loads(output)["files"]
        assert files == 1
        await assert_each_is_published_once(server, expected)


async def test_keys_claimed_by_a_seal_that_stopped_are_in_the_file_that_the_next_one_writes(
    server: RunningServer,
) -> None:
    expected = await reports(server)
    claimed = await batches.claim(
        server.context.exposure, sealing_rules(server.context.settings), server.context.now_s()
    )
    assert len(claimed) == 1
    # The index never names what is not on disk.
    await sign_the_index_only(server)
    assert (await index_of(server)).files == ()
    await seal(server.context)
    await assert_each_is_published_once(server, expected)


async def sign_the_index_only(server: RunningServer) -> None:
    async with publishing_turn(server.context.settings.data):
        await publish_index(server.context)


async def test_a_file_written_by_a_seal_that_stopped_before_noting_it_is_written_anew(server: RunningServer) -> None:
    expected = await reports(server)
    (batch,) = await batches.claim(
        server.context.exposure, sealing_rules(server.context.settings), server.context.now_s()
    )
    folder = exports_folder(server.context.settings)
    (folder / batch.name).write_bytes(b"half a file")
    (folder / f".{batch.name}.0badcafe").write_bytes(b"half a file")
    await seal(server.context)
    await assert_each_is_published_once(server, expected)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [batch.name, "index.json", "index.json.sig", "index.txt"]
    )


async def test_a_batch_whose_file_cannot_be_put_in_its_place_is_not_finished(server: RunningServer) -> None:
    expected = await reports(server)
    (batch,) = await batches.claim(
        server.context.exposure, sealing_rules(server.context.settings), server.context.now_s()
    )
    in_the_way = exports_folder(server.context.settings) / batch.name / "folder"
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        await seal(server.context)
    assert await batches.finished(server.context.exposure) == []
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    await seal(server.context)
    await assert_each_is_published_once(server, expected)


async def test_an_index_signed_by_somebody_else_does_not_stand_for_the_seal_of_the_hour(server: RunningServer) -> None:
    expected = await reports(server)
    # The full hour, at which forgetting signs the index too; the sealing job wakes a second later.
    server.clock.now_s += 3_600
    await sign_the_index_only(server)
    server.clock.advance(1)

    async def is_sealed() -> bool:
        return bool((await index_of(server)).files)

    await until(is_sealed)
    await assert_each_is_published_once(server, expected)


async def test_a_server_that_starts_after_a_crash_serves_what_was_claimed(
    settings: ServerSettings, clock: HandClock
) -> None:
    async with running(settings, clock) as server:
        expected = await reports(server)
        await batches.claim(server.context.exposure, sealing_rules(settings), server.context.now_s())
    async with running(settings, clock) as server:
        await assert_each_is_published_once(server, expected)


@pytest.mark.parametrize("turns", range(1, 40, 3))
async def test_a_seal_cancelled_anywhere_is_completed_by_the_next(server: RunningServer, turns: int) -> None:
    expected = await reports(server)
    task = asyncio.create_task(seal(server.context))
    for _ in range(turns):
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait([task])
    await seal(server.context)
    await assert_each_is_published_once(server, expected)


async def test_the_turn_is_free_again_when_its_holder_fails(settings: ServerSettings) -> None:
    with pytest.raises(ZeroDivisionError):
        async with publishing_turn(settings.data):
            raise ZeroDivisionError
    async with asyncio.timeout(5), publishing_turn(settings.data):
        pass


async def test_a_second_hand_waits_for_its_turn(settings: ServerSettings) -> None:
    order = []

    async def second() -> None:
        async with publishing_turn(settings.data):
            order.append("second")

    async with publishing_turn(settings.data):
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        order.append("first")
    await waiting
    assert order == ["first", "second"]
