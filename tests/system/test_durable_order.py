"""What a kill cannot show and a power cut would: the order in which things reach the disk."""

from collections.abc import AsyncIterator

import pytest

from forewarn_simulations.world import scratch_folder
from tests.server.hand_clock import NOON
from tests.system.crashes import entries
from tests.system.crashes.children import Child
from tests.system.crashes.client_world import ClientWorld
from tests.system.crashes.durable_order import disorders
from tests.system.crashes.people import STEPS
from tests.system.crashes.server_world import DAY_S, HOUR_S, KEPT_DAYS, ServerWorld
from tests.system.crashes.tracing import events_of

SERVER = {
    "files are synced": ["named before it is synced: rename index.json"],
    "folders are synced": [
        "a batch counts as finished before this is durable",
        "a schedule names a key before it is there",
        "a file goes before the index without it is there",
    ],
    "a batch is finished after its file is written": ["a batch counts as finished before its file is there"],
    "an answer leaves after the commit": ["answer /v1/publish before the commit of INSERT INTO publishes"],
}
PHONE = {
    "folders are synced": "a day's key is kept before this is durable",
    "an interval is stored before it is spoken": "speak before the commit of INSERT INTO own_keys",
}


@pytest.fixture
async def server() -> AsyncIterator[ServerWorld]:
    async with scratch_folder() as folder, ServerWorld.open(folder, 0) as world:
        yield world


@pytest.fixture
async def phone() -> AsyncIterator[ClientWorld]:
    async with scratch_folder() as folder, ClientWorld.open(folder, 0) as world:
        yield world


async def report_seal_and_forget(world: ServerWorld, *unprotected: str) -> list[str]:
    found = []
    api = await world.start(unprotected=unprotected)
    for person in await world.new_people(api, 2):
        await person.take(api, *STEPS)
    for hours in (0, 7, (KEPT_DAYS + 1) * DAY_S // HOUR_S):
        if hours:
            world.now_s += hours * HOUR_S
            await world.start(unprotected=unprotected)
        assert world.child is not None
        log = world.child.log
        await world.kill()
        found += disorders(events_of(log))
    return found


async def first_life(world: ClientWorld, *unprotected: str) -> list[str]:
    child = await world.live(unprotected=unprotected)
    await child.hear("judged")
    await world.bury(child)
    # The kill may have come inside a transaction, whose commit is missing then; names and syncs are long done.
    return disorders(events_of(child.log))


async def test_a_power_cut_between_any_two_steps_of_the_server_takes_away_nothing_promised(
    server: ServerWorld,
) -> None:
    assert await report_seal_and_forget(server) == []


@pytest.mark.parametrize("protection", SERVER)
async def test_the_order_of_a_server_without_a_protection_is_objected_to(server: ServerWorld, protection: str) -> None:
    found = "\n".join(await report_seal_and_forget(server, protection))
    assert [objection for objection in SERVER[protection] if objection not in found] == []


async def test_a_power_cut_between_any_two_steps_of_a_servers_first_start_takes_away_nothing_promised() -> None:
    async with scratch_folder() as folder:
        child = await Child.start(entries.set_up, folder / "data", folder / "log", epoch_s=NOON)
        assert await child.hear("made")
        await child.end()
        assert disorders(events_of(child.log)) == []


async def test_a_power_cut_between_any_two_steps_of_a_new_phone_takes_away_nothing_promised(
    phone: ClientWorld,
) -> None:
    assert await first_life(phone) == []


@pytest.mark.parametrize("protection", PHONE)
async def test_the_order_of_a_phone_without_a_protection_is_objected_to(phone: ClientWorld, protection: str) -> None:
    found = await first_life(phone, protection)
    assert any(PHONE[protection] in each for each in found), found
