"""One server's eventful life: killed in every round, started again, and held to what it had promised."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession

from forewarn_protocol.verification import TOKEN_S
from forewarn_server.accounts.api_keys import Role, add
from forewarn_server.config import SETTINGS_FILE, ServerSettings
from forewarn_server.context import Context, open_context
from forewarn_server.setting_up import initialise
from tests.server.hand_clock import NOON, HandClock
from tests.server.publish_routes import certified
from tests.server.reporting_phone import day_key
from tests.system.crashes import entries
from tests.system.crashes.children import Child
from tests.system.crashes.people import STEPS, Api, Person, demand
from tests.system.crashes.public_folder import PublicFolder
from tests.system.crashes.tracing import Plan, events_of, plan_of

OPERATIONS = (*STEPS, "seal", "hour", "forget")
KEPT_DAYS = 1
MIXED_REPORTS = 2
LONGEST_WAIT_H = 6
FROM_OUTSIDE = 0.15
"""Share of the kills that come from outside at a random time instead of at an event."""
AGAIN = 0.3
"""Share of those who have published that repeat it in each later round, while they can."""
_SETTINGS = f"""
minimum_reports_per_file = {MIXED_REPORTS}
maximum_wait_h = {LONGEST_WAIT_H}
padded_keys = 20
key_retention_days = {KEPT_DAYS}
"""
HOUR_S, DAY_S = 3_600, 86_400
REPEATABLE_S = TOKEN_S - HOUR_S
HOURLY_FACTOR = 60.0
HOUR_COMES_S = 3.0
"""Real seconds to wait for a kill that is planned for the full hour; it comes from outside then."""
NEVER = Plan(10**9)


class ServerWorld:
    """Folder, people, time; `deaths` counts where the kills fell."""

    def __init__(self, folder: Path, seed: int, session: ClientSession) -> None:
        self.random = random.Random(seed)
        self.people: list[Person] = []
        self.deaths: Counter[str] = Counter()
        self.child: Child | None = None
        self.clock = HandClock()
        self.context: Context
        self.now_s = float(NOON)
        self._folder = folder
        self._session = session
        self._issuer_key = ""
        self._lives = 0
        # What a start takes, as the last whole one did.
        self._steps = {"seal": 45, "forget": 30}
        self._start_s = 0.1
        self.data = folder / "data"
        made = initialise(self.data, "vn")
        with (self.data / SETTINGS_FILE).open("a") as file:
            file.write(_SETTINGS)
        self.public = PublicFolder(self.data, made, KEPT_DAYS * DAY_S)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, seed: int) -> AsyncIterator["ServerWorld"]:
        async with ClientSession() as session:
            world = cls(folder, seed, session)
            async with open_context(ServerSettings.load(world.data), world.clock) as world.context:
                _, world._issuer_key = await add(world.context, "ward 3", Role.ISSUER)
            try:
                yield world
            finally:
                if world.child is not None:
                    await world.child.end()

    async def start(self, *, plan: Plan | None = None, factor: float = 1.0, unprotected: tuple[str, ...] = ()) -> Api:
        """Start the next life of the server, a little later than the last; without a plan, until it has forgotten."""
        self._lives += 1
        self.now_s += 30
        self.child = await Child.start(
            entries.serve,
            self.data,
            self._folder / f"life{self._lives}",
            epoch_s=self.now_s,
            factor=factor,
            plan=plan,
            unprotected=unprotected,
        )
        url = await self.child.hear("ready")
        api = Api(url or "", self._session, self._issuer_key)
        if plan is None:
            assert url is not None, "the server does not start"
            await self.child.hear("forgotten")
            self._start_s = time.monotonic() - self.child.born_s
            self._learn_steps(self.child)
        return api

    async def kill(self) -> str:
        """Make sure that the server is dead; return where it died."""
        child, self.child = self.child, None
        assert child is not None
        child.kill()
        assert await child.dead()
        return child.place_of_death()

    async def round(self, operation: str) -> None:
        """Kill the server inside an operation, start it again, repeat what was not acknowledged, check everything."""
        acts = {"seal": self._die_in_start, "forget": self._die_in_start, "hour": self._die_at_the_hour}
        await acts.get(operation, self._die_in_request)(operation)
        self.deaths[f"{operation}: {await self.kill()}"] += 1
        api = await self.start()
        await self.complete(api)
        await self.public.look(api, self.now_s)

    async def complete(self, api: Api) -> None:
        """Repeat what was not acknowledged until everybody has published, and some of what was."""
        missing = [person for person in self.people if not person.done]
        published = [person for person in self.people if person.done and self.now_s - person.begun_s < REPEATABLE_S]
        again = [person for person in published if self.random.random() < AGAIN]
        await asyncio.gather(*(person.take(api, *STEPS, "publish") for person in missing))
        await asyncio.gather(
            *(person.take(api, "certificate", "publish") for person in again),
            *(person.try_what_must_fail(api, self.forged(person)) for person in missing),
        )

    def forged(self, person: Person) -> dict[str, Any]:
        """Return a publish of other keys with a certificate of the same jti, as only the server itself can make one."""
        self.clock.now_s = self.now_s
        today = int(self.now_s // DAY_S) * 144
        return certified(self, [day_key(today - 144)], person.jti)

    async def finish(self) -> None:
        """Let enough time and seals pass, and demand every acknowledged key in exactly one export."""
        for _ in range(2):
            if self.child is not None:
                await self.kill()
            self.now_s += (LONGEST_WAIT_H + 1) * HOUR_S
            api = await self.start()
            await self.public.look(api, self.now_s)
        for person in self.people:
            for key in person.key_bytes():
                demand(key in self.public.fresh, f"an acknowledged key was lost: {key.hex()}")

    async def api(self) -> Api:
        """Return the running server, started where there is none."""
        if self.child is not None:
            await self.kill()
        return await self.start()

    async def new_people(self, api: Api, number: int) -> list[Person]:
        days = [self.random.randint(1, 5) for _ in range(number)]
        new = await asyncio.gather(*(Person.with_code(api, self.now_s, each) for each in days))
        self.people += new
        return new

    async def _die_in_request(self, step: str) -> None:
        api = await self.api()
        first, *others = await self.new_people(api, 3)
        earlier = STEPS[: STEPS.index(step)]
        await asyncio.gather(*(person.take(api, *earlier) for person in (first, *others)))
        assert self.child is not None
        await self.child.arm(None)
        began_s = time.perf_counter()
        await first.take(api, step)
        took_s, steps = time.perf_counter() - began_s, await self.child.count()
        from_outside = self.random.random() < FROM_OUTSIDE
        if not from_outside:
            await self.child.arm(plan_of(self.random, 2 * steps))
        async with asyncio.TaskGroup() as group:
            for person in others:
                group.create_task(unless_it_dies(person, api, step))
            if from_outside:
                group.create_task(self._kill_after(self.random.uniform(0, took_s)))

    async def _die_in_start(self, job: str) -> None:
        # What is due becomes due between two lives: a start seals before its first answer, and forgets beside it.
        api = await self.api()
        people = await self.new_people(api, MIXED_REPORTS)
        await asyncio.gather(*(person.take(api, *STEPS) for person in people))
        await self.kill()
        self.now_s += self.random.uniform(7, 20) * HOUR_S
        after = ""
        if job == "forget":
            await self.public.look(await self.start(), self.now_s)
            await self.kill()
            self.now_s += (KEPT_DAYS + 1) * DAY_S
            after = "DELETE FROM keys"
        if self.random.random() < FROM_OUTSIDE:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.start(plan=NEVER))
                group.create_task(self._kill_after(self.random.uniform(0, self._start_s)))
        else:
            await self.start(plan=plan_of(self.random, self._steps[job], after))
        assert self.child is not None
        await self.child.hear("forgotten")

    async def _die_at_the_hour(self, _: str) -> None:
        """Publish while the full hour comes, at which the running server seals."""
        if self.child is not None:
            await self.kill()
        self.now_s = (self.now_s // HOUR_S + 1 + self.random.randint(0, 10)) * HOUR_S - HOURLY_FACTOR
        api = await self.start(factor=HOURLY_FACTOR)
        people = await self.new_people(api, 4)
        assert self.child is not None
        await asyncio.gather(*(person.take(api, "verify", "certificate") for person in people))
        await self.child.arm(plan_of(self.random, self._steps["seal"]))
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(unless_it_dies(person, api, "publish"))
        await self.child.dead(HOUR_COMES_S)
        self.now_s += (time.monotonic() - self.child.born_s) * HOURLY_FACTOR

    async def _kill_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self.child is None:  # noqa: ASYNC110 - about to be forked
            await asyncio.sleep(0)
        self.child.kill()

    def _learn_steps(self, child: Child) -> None:
        kinds = [event.kind for event in events_of(child.log) if not event.kind.startswith("PRAGMA synchronous")]
        at = kinds.index("DELETE FROM keys")
        if "rename *.zip" in kinds:
            self._steps["seal"] = at
        if "delete *.zip" in kinds:
            self._steps["forget"] = len(kinds) - at


async def unless_it_dies(person: Person, api: Api, step: str) -> None:
    """Send a request to a server that may be killed meanwhile."""
    with suppress(ClientError, TimeoutError, ValueError):  # no whole answer: nothing is acknowledged
        await person.take(api, step)
