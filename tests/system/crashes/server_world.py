"""One server's eventful life: killed in every round, started again, and held to what it had promised."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from forewarn_protocol.verification import TOKEN_S
from forewarn_server.accounts.api_keys import Role, add
from forewarn_server.config import SETTINGS_FILE, ServerSettings
from forewarn_server.context import Context, open_context
from forewarn_server.setting_up import initialise
from tests.server.hand_clock import NOON, HandClock
from tests.server.publish_routes import certified
from tests.server.reporting_phone import day_key
from tests.system.crashes import entries
from tests.system.crashes.children import Child, Entry
from tests.system.crashes.people import STEPS, Api, Person, demand
from tests.system.crashes.public_folder import PublicFolder
from tests.system.crashes.tracing import Aim, Plan, events_of

KEPT_DAYS = 1
MIXED_REPORTS = 2
LONGEST_WAIT_H = 6
AGAIN = 0.3
"""Share of those who have published that repeat it in each later round, while they can."""
_SETTINGS = f"""
minimum_reports_per_file = {MIXED_REPORTS}
maximum_wait_h = {LONGEST_WAIT_H}
padded_keys = 20
key_retention_days = {KEPT_DAYS}
"""
HOUR_S, DAY_S = 3_600, 86_400
QUIET_S = 300
REPEATABLE_S = TOKEN_S - HOUR_S


class ServerWorld:
    """Folder, people, time; `deaths` counts where the kills fell."""

    def __init__(self, folder: Path, seed: int, session: ClientSession) -> None:
        self.random = random.Random(seed)
        self.aim = Aim(self.random)
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
        self.steps = {"seal": 45, "forget": 30}
        self.start_s = 0.1
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
        self.child = await self.begin(entries.serve, plan, factor, unprotected)
        url = await self.child.hear("ready")
        api = Api(url or "", self._session, self._issuer_key)
        if plan is None:
            assert url is not None, "the server does not start"
            await self.child.hear("forgotten")
            self.start_s = time.monotonic() - self.child.born_s
            self._learn_steps(self.child)
        return api

    async def begin(
        self, entry: Entry, plan: Plan | None = None, factor: float = 1.0, unprotected: tuple[str, ...] = ()
    ) -> Child:
        """Start a process on the server's data, a little later than the last one."""
        self._lives += 1
        self.now_s += 30
        if factor == 1.0 and self.now_s % HOUR_S > HOUR_S - QUIET_S:
            # The full hour's work would come while everything is being checked.
            self.now_s += QUIET_S
        log = self._folder / f"life{self._lives}"
        return await Child.start(
            entry, self.data, log, epoch_s=self.now_s, factor=factor, plan=plan, unprotected=unprotected
        )

    async def kill(self) -> str:
        """Make sure that the server is dead; return where it died."""
        child, self.child = self.child, None
        assert child is not None
        child.kill()
        assert await child.dead()
        return child.place_of_death()

    async def recover(self) -> None:
        """Start again, repeat what was not acknowledged, check everything."""
        if self.child is not None:
            await self.kill()
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

    async def finish(self) -> str:
        """Let enough time and seals pass, and demand every acknowledged key in exactly one export; say what was."""
        for _ in range(2):
            if self.child is not None:
                await self.kill()
            self.now_s += (LONGEST_WAIT_H + 1) * HOUR_S
            api = await self.start()
            await self.public.look(api, self.now_s)
        for person in self.people:
            seen = self.public.revised if person.revises else self.public.fresh
            for key in person.key_bytes():
                demand(key in seen, f"an acknowledged key was lost: {key.hex()}")
        places = "; ".join(f"{place} {times}x" for place, times in sorted(self.deaths.items()))
        return f"{self.deaths.total()} rounds, {len(self.people)} reports: {places}"

    async def api(self) -> Api:
        """Return the running server, started where there is none."""
        if self.child is not None:
            await self.kill()
        return await self.start()

    async def new_people(self, api: Api, number: int, test_type: str = "confirmed") -> list[Person]:
        days = [self.random.randint(1, 5) for _ in range(number)]
        new = await asyncio.gather(*(Person.with_code(api, self.now_s, each, test_type) for each in days))
        self.people += new
        return new

    def _learn_steps(self, child: Child) -> None:
        kinds = [event.kind for event in events_of(child.log) if not event.kind.startswith("PRAGMA synchronous")]
        at = kinds.index("DELETE FROM keys")
        if "rename *.zip" in kinds:
            self.steps["seal"] = at
        if "delete *.zip" in kinds:
            self.steps["forget"] = len(kinds) - at
