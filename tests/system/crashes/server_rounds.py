"""How a server dies: in which operation, at which of its steps; each round ends with a recovery that is checked."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import ClientError

from tests.system.crashes import entries
from tests.system.crashes.children import Child
from tests.system.crashes.people import STEPS, Api, Person
from tests.system.crashes.server_world import DAY_S, HOUR_S, KEPT_DAYS, MIXED_REPORTS, ServerWorld
from tests.system.crashes.tracing import Plan

HOURLY_FACTOR = 60.0
HOUR_COMES_S = 3.0
"""Real seconds to wait for a kill that is planned for the full hour; it comes from outside then."""
NEVER = Plan(10**9)
SEAL_STEPS = 30
"""About as many as one seal takes: claim, write, name, note, sign the index."""


async def round_of(world: ServerWorld, operation: str, nth: int | None = None) -> str:
    """Kill the server inside an operation, at its n-th step or anywhere; start it again, check; say where it died."""
    world.aim.nth = nth
    died = "not yet"
    try:
        died = await ROUNDS[operation](world)
        await world.recover()
    except BaseException as error:
        error.add_note(f"round {world.deaths.total() + 1}: {operation}, died {died}; earlier: {dict(world.deaths)}")
        raise
    world.deaths[f"{operation}: {died}"] += 1
    return died


async def die_in_request(world: ServerWorld, people: list[Person], api: Api, step: str) -> str:
    """Let the first person do a step to see how many events it takes, then kill while the others do it."""
    first, *others = people
    earlier = STEPS[: STEPS.index(step)]
    await asyncio.gather(*(person.take(api, *earlier) for person in people))
    child = _running(world)
    await child.arm(None)
    began_s = time.perf_counter()
    await first.take(api, step)
    took_s = time.perf_counter() - began_s
    world.steps[step] = len(others) * await child.count()
    from_outside = world.aim.is_from_outside()
    if not from_outside:
        await child.arm(world.aim.plan(world.steps[step]))
    async with asyncio.TaskGroup() as group:
        for person in others:
            group.create_task(unless_it_dies(person, api, step))
        if from_outside:
            group.create_task(_kill_after(world, world.random.uniform(0, took_s)))
    return await world.kill()


async def unless_it_dies(person: Person, api: Api, step: str) -> None:
    """Send a request to a server that may be killed meanwhile."""
    with suppress(ClientError, TimeoutError, ValueError):  # no whole answer: nothing is acknowledged
        await person.take(api, step)


def _request(step: str) -> Callable[[ServerWorld], Awaitable[str]]:
    async def die(world: ServerWorld) -> str:
        api = await world.api()
        return await die_in_request(world, await world.new_people(api, 3), api, step)

    return die


async def _revise(world: ServerWorld) -> str:
    """Confirm what was published as likely."""
    api = await world.api()
    likely = await world.new_people(api, 3, "likely")
    await asyncio.gather(*(person.take(api, *STEPS) for person in likely))
    await world.kill()
    world.now_s += 7 * HOUR_S
    api = await world.start()
    await world.public.look(api, world.now_s)
    confirmed = [await person.confirmed(api, world.now_s) for person in likely]
    world.people += confirmed
    return await die_in_request(world, confirmed, api, "publish")


async def _seal_at_start(world: ServerWorld) -> str:
    # What is due becomes due between two lives: a start seals before its first answer, and forgets beside it.
    await _publish_and_stop(world)
    return await _start_and_die(world, "seal", "")


async def _forget(world: ServerWorld) -> str:
    await _publish_and_stop(world)
    await world.public.look(await world.start(), world.now_s)
    await world.kill()
    world.now_s += (KEPT_DAYS + 1) * DAY_S
    return await _start_and_die(world, "forget", "DELETE FROM keys")


async def _publish_and_stop(world: ServerWorld) -> None:
    api = await world.api()
    people = await world.new_people(api, MIXED_REPORTS)
    await asyncio.gather(*(person.take(api, *STEPS) for person in people))
    await world.kill()
    world.now_s += world.random.uniform(7, 20) * HOUR_S


async def _start_and_die(world: ServerWorld, job: str, after: str) -> str:
    if world.aim.is_from_outside():
        async with asyncio.TaskGroup() as group:
            group.create_task(world.start(plan=NEVER))
            group.create_task(_kill_after(world, world.random.uniform(0, world.start_s)))
    else:
        await world.start(plan=world.aim.plan(world.steps[job], after))
    await _running(world).hear("forgotten")
    return await world.kill()


async def _seal_at_the_hour(world: ServerWorld) -> str:
    """Publish while the full hour comes, at which the running server seals."""
    if world.child is not None:
        await world.kill()
    world.now_s = (world.now_s // HOUR_S + 1 + world.random.randint(0, 10)) * HOUR_S - HOURLY_FACTOR
    api = await world.start(factor=HOURLY_FACTOR)
    people = await world.new_people(api, 4)
    await asyncio.gather(*(person.take(api, "verify", "certificate") for person in people))
    child = _running(world)
    await child.arm(world.aim.plan(world.steps["seal"]))
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(unless_it_dies(person, api, "publish"))
    await child.dead(HOUR_COMES_S)
    world.now_s += (time.monotonic() - child.born_s) * HOURLY_FACTOR
    return await world.kill()


async def _seal_by_command(world: ServerWorld) -> str:
    """Kill a second process that seals while the server goes on: the next one completes what it had begun."""
    world.now_s = (world.now_s // HOUR_S + 1) * HOUR_S
    api = await world.api()
    sealed, late = await world.new_people(api, MIXED_REPORTS), await world.new_people(api, 1)
    await asyncio.gather(*(person.take(api, *STEPS) for person in sealed))
    command = await world.begin(entries.seal_now, plan=world.aim.plan(SEAL_STEPS))
    await asyncio.gather(*(person.take(api, *STEPS) for person in late), command.hear("sealed"))
    await command.end()
    another = await world.begin(entries.seal_now)
    assert await another.hear("sealed") is not None
    await another.end()
    await world.public.look(api, world.now_s)
    return command.place_of_death()


async def _kill_after(world: ServerWorld, seconds: float) -> None:
    await asyncio.sleep(seconds)
    while world.child is None:  # noqa: ASYNC110 - about to be forked
        await asyncio.sleep(0)
    world.child.kill()


def _running(world: ServerWorld) -> Child:
    assert world.child is not None
    return world.child


ROUNDS: dict[str, Callable[[ServerWorld], Awaitable[str]]] = {
    **{step: _request(step) for step in STEPS},
    "revise": _revise,
    "seal": _seal_at_start,
    "hour": _seal_at_the_hour,
    "seal-now": _seal_by_command,
    "forget": _forget,
}
