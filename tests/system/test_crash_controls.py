"""Positive controls of the crash tests: with one protection off, and a kill where it counts, the same checks object."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from forewarn_simulations.world import scratch_folder
from tests.system.crashes.client_world import ClientWorld
from tests.system.crashes.people import STEPS, Person, Violation
from tests.system.crashes.server_rounds import unless_it_dies
from tests.system.crashes.server_world import HOUR_S, ServerWorld
from tests.system.crashes.tracing import Plan

# With the protection, the random rounds meet the same kills; here, too, where there is time.
PROTECTED_OR_NOT = pytest.mark.parametrize("protected", [pytest.param(True, marks=pytest.mark.slow), False])


@dataclass(frozen=True)
class Control:
    """Without which protection, where to kill, what must be objected to, and what else could mend it afterwards."""

    protection: str
    kill: Plan
    objection: str
    mended_by: tuple[str, ...] = ()


@pytest.fixture
async def server() -> AsyncIterator[ServerWorld]:
    async with scratch_folder() as folder, ServerWorld.open(folder, 0) as world:
        yield world


@pytest.fixture
async def phone() -> AsyncIterator[ClientWorld]:
    async with scratch_folder() as folder, ClientWorld.open(folder, 0) as world:
        await world.day()
        yield world


REQUESTS = {
    "verify": Control(
        "the nonce of a claim is remembered", Plan(1, "answer /api/verify"), "a code was burnt by a lost answer"
    ),
    "publish": Control("an answer leaves after the commit", Plan(1, "INSERT INTO keys"), "a repeat is not recognised"),
}


async def lose_the_answer(world: ServerWorld, step: str, plan: Plan, *unprotected: str) -> Person:
    """Let a person come to a step at which the server is killed."""
    api = await world.start(unprotected=unprotected)
    (person,) = await world.new_people(api, 1)
    await person.take(api, *STEPS[: STEPS.index(step)])
    assert world.child is not None
    await world.child.arm(plan)
    await unless_it_dies(person, api, step)
    await world.child.dead()
    await world.kill()
    return person


@pytest.mark.parametrize("step", REQUESTS)
@PROTECTED_OR_NOT
async def test_an_answer_that_is_lost_costs_something_only_without_the_protection(
    server: ServerWorld, step: str, *, protected: bool
) -> None:
    control = REQUESTS[step]
    person = await lose_the_answer(server, step, control.kill, *(() if protected else (control.protection,)))
    api = await server.start()
    if protected:
        await person.take(api, *STEPS, "publish")
        return
    with pytest.raises(Violation, match=control.objection):
        await person.take(api, *STEPS, "publish")


async def test_an_acknowledged_key_that_was_never_stored_is_missed(server: ServerWorld) -> None:
    control = REQUESTS["publish"]
    await lose_the_answer(server, "publish", control.kill, control.protection)
    with pytest.raises(Violation, match="an acknowledged key was lost"):
        await server.finish()


async def test_a_publish_that_is_not_remembered_is_found_by_its_repeat(server: ServerWorld) -> None:
    person = await lose_the_answer(server, "publish", Plan(1, "answer /v1/publish"))
    api = await server.start(unprotected=("a publish is remembered",))
    with pytest.raises(Violation, match="a publish is not taken: missing_revision_token"):
        await person.take(api, "publish")


STARTS = (
    Control(
        "a batch is finished after its file is written",
        Plan(1, "rename *.zip"),
        "the index names .*, which is not there",
        mended_by=("damaged files are written anew",),
    ),
    Control("a sealed key waits no more", Plan(1, "DELETE"), "a key was published twice"),
    Control(
        "left-overs are cleared",
        Plan(1, "rename index.json"),
        "nothing names these files",
        mended_by=("left-overs are cleared",),
    ),
)


@pytest.mark.parametrize("control", STARTS, ids=lambda control: control.protection)
@PROTECTED_OR_NOT
async def test_a_seal_that_is_killed_leaves_something_wrong_only_without_the_protection(
    server: ServerWorld, control: Control, *, protected: bool
) -> None:
    unprotected = () if protected else (control.protection,)
    api = await server.start()
    people = await server.new_people(api, 2)
    for person in people:
        await person.take(api, *STEPS)
    await server.kill()
    server.now_s += 7 * HOUR_S
    await server.start(plan=control.kill, unprotected=unprotected)
    await server.kill()
    server.now_s += 7 * HOUR_S
    api = await server.start(unprotected=() if protected else control.mended_by)
    if protected:
        await server.public.look(api, server.now_s)
        return
    with pytest.raises(Violation, match=control.objection):
        await server.public.look(api, server.now_s)


FETCHES = (
    Control("the ledger is written with the matches", Plan(1, "INSERT INTO matches"), "of finished files were lost"),
    Control("the matches are written with the ledger", Plan(1, "INSERT INTO finished_files"), "not finished"),
    Control("an interval is stored before it is spoken", Plan(1, "speak"), "on the air that the keyring does not know"),
    Control(
        "a scan window is recorded before that is said", Plan(1, "INSERT INTO scan_windows"), "scan window was lost"
    ),
)


@pytest.mark.parametrize("control", FETCHES, ids=lambda control: control.protection)
@PROTECTED_OR_NOT
async def test_a_phone_that_is_killed_has_something_wrong_only_without_the_protection(
    phone: ClientWorld, control: Control, *, protected: bool
) -> None:
    await phone.morning()
    child = await phone.live(control.kill, () if protected else (control.protection,))
    assert await child.dead()
    await phone.bury(child)
    if protected:
        await phone.check()
        return
    with pytest.raises(Violation, match=control.objection):
        await phone.check()
