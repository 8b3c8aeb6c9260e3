"""One phone's eventful life beside its neighbours: killed in every round, a day a round, against a real server."""

import asyncio
import hashlib
import io
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.intervals import day_at
from forewarn_server.config import ServerSettings
from forewarn_server.exports.sealing import seal
from forewarn_server.setting_up import initialise
from forewarn_simulations.processes import neighbour_key
from tests.server.hand_clock import HandClock
from tests.server.published_files import index_of
from tests.server.reporting_phone import day_key, published
from tests.server.running_server import RunningServer, running
from tests.system.crashes import entries
from tests.system.crashes.children import Child, Entry
from tests.system.crashes.diary_checks import Witness, check_alerts, check_diary, check_matches
from tests.system.crashes.people import demand
from tests.system.crashes.tracing import Aim, Plan, events_of

OPERATIONS = ("record", "fetch", "match", "report")
NEIGHBOURS = ("an", "binh")
FACTOR = 3_000.0
"""A scan window comes every 50 to 100 ms, a new identifier every 200 to 400 ms."""
TOGETHER_S = 0.6
"""Real seconds that a life which is not disturbed lasts: half an hour beside the neighbours."""
DAY_S = 86_400


class ClientWorld:
    """Phone, server, time; `deaths` counts where the kills fell."""

    def __init__(self, folder: Path, seed: int, server: RunningServer, feed_key: str, assessing: str) -> None:
        self.random = random.Random(seed)
        self.aim = Aim(self.random)
        self.steps = {"record": 24, "fetch": 24, "match": 10, "report": 14}
        self.server = server
        self.witness = Witness()
        self.deaths: Counter[str] = Counter()
        self._folder = folder
        self._known = {"server": server.url, "public_key": feed_key, "assessing": assessing}
        self._settings = ClientSettings(data=folder / "phone", language="en", **self._known)
        self._lives = 0
        self._factor = FACTOR
        self._exports: dict[str, ExportFile] = {}
        self._published: set[date] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, seed: int, assessing: str = "thread") -> AsyncIterator["ClientWorld"]:
        """Open it; with `assessing` as process, what is killed may have a process of its own at work."""
        made = initialise(folder / "server", "vn")
        settings = ServerSettings.load(folder / "server", minimum_reports_per_file=1, maximum_wait_h=0, padded_keys=20)
        async with running(settings, HandClock()) as server:
            yield cls(folder, seed, server, made.feed_key, assessing)

    @property
    def today(self) -> date:
        return day_at(self.server.clock.utc())

    async def live(self, plan: Plan | None = None, unprotected: tuple[str, ...] = ()) -> Child:
        """Start the phone's daemon among its neighbours."""
        self._factor = FACTOR
        return await self._start(entries.carry, plan, unprotected, neighbours=list(NEIGHBOURS))

    async def day(self) -> None:
        """Let an undisturbed life pass, to its end by a kill: hear the neighbours, fetch, judge."""
        child = await self.live()
        await asyncio.sleep(TOGETHER_S)
        assert await child.hear("judged") is not None, "the daemon died by itself"
        await self.bury(child)

    async def bury(self, child: Child) -> str:
        """Make sure that a life is over; return where it ended."""
        child.kill()
        assert await child.dead()
        # The next life begins later than this one has ended.
        self.server.clock.advance((time.monotonic() - child.born_s) * self._factor + 60)
        self.witness.listen_to(child)
        return child.place_of_death()

    async def morning(self) -> None:
        """Go on to the next day, on which what a neighbour spoke yesterday is published."""
        self.server.clock.advance(DAY_S - self.server.clock.utc() % DAY_S + 8 * 3_600)
        yesterday = self.today - timedelta(days=1)
        tek = neighbour_key(NEIGHBOURS[0], yesterday)
        await published(self.server, [day_key(tek.rolling_start, key=tek.key)])
        self._published.add(yesterday)
        await seal(self.server.context)

    async def round(self, operation: str, nth: int | None = None) -> str:
        """Kill the phone inside an operation, at its n-th step or anywhere; let it go on, check; say where it died."""
        self.aim.nth = nth
        died = "not yet"
        try:
            await self.morning()
            acts = {"record": self._die_recording, "report": self._die_reporting}
            died = await acts.get(operation, self._die_fetching)(operation)
            await self.check()
            await self.day()
            await self.check(settled=True)
        except BaseException as error:
            error.add_note(f"round {self.deaths.total() + 1}: {operation}, died {died}; earlier: {dict(self.deaths)}")
            raise
        self.deaths[f"{operation}: {died}"] += 1
        return died

    def story(self) -> str:
        """Say what was."""
        places = "; ".join(f"{place} {times}x" for place, times in sorted(self.deaths.items()))
        told = self.witness
        lived = f"{len(told.recorded)} windows, {len(told.spoken)} identifiers, {len(told.told)} alerts"
        return f"{self.deaths.total()} rounds, {lived}: {places}"

    async def check(self, *, settled: bool = False) -> None:
        """Open the diary as a command does and demand everything; `settled`: after a whole fetch."""
        exports = await self._all_exports()
        async with Device.open(self._settings, self.server.clock) as device:
            await check_diary(device, self.witness)
            heard = await self._heard(device)
            await check_matches(device, exports, heard)
            if settled:
                await check_alerts(device)

    async def _start(self, entry: Entry, plan: Plan | None, unprotected: tuple[str, ...], **more: object) -> Child:
        self._lives += 1
        return await Child.start(
            entry,
            self._settings.data,
            self._folder / f"life{self._lives}",
            epoch_s=self.server.clock.utc(),
            factor=self._factor,
            plan=plan,
            unprotected=unprotected,
            **self._known,
            **more,
        )

    async def _die_recording(self, operation: str) -> str:
        child = await self.live()
        assert await child.hear("ready")
        await child.arm(self._plan(operation))
        await child.dead(3 * TOGETHER_S)
        return await self.bury(child)

    async def _die_fetching(self, operation: str) -> str:
        after = "INSERT INTO feeds" if operation == "fetch" else "INSERT INTO matches"
        child = await self.live(self._plan(operation, after))
        if await child.hear("judged") is not None:
            await child.dead(TOGETHER_S)
        return await self.bury(child)

    async def _die_reporting(self, operation: str) -> str:
        code = str((await self.server.new_code())["code"])
        child = await self._report(code, self._plan(operation))
        await child.hear("reported")
        died = await self.bury(child)
        for expected in ({"sent", "already"}, {"already"}):
            child = await self._report(code)
            outcome = await child.hear("reported")
            await self.bury(child)
            if outcome == "sent":
                self.steps["report"] = len(events_of(child.log))
            demand(outcome in expected, f"the report that was repeated ends as {outcome}")
        return died

    def _plan(self, operation: str, after: str = "") -> Plan:
        return self.aim.plan(self.steps[operation], after)

    async def _report(self, code: str, plan: Plan | None = None) -> Child:
        onset = self.today - timedelta(days=3)
        self._factor = 1.0
        return await self._start(entries.give, plan, (), code=code, onset=onset.isoformat())

    async def _all_exports(self) -> dict[str, ExportFile]:
        for entry in (await index_of(self.server)).files:
            if entry.sha256 not in self._exports:
                body = (await self.server.send("GET", f"/exports/vn/{entry.path}")).body
                assert hashlib.sha256(body).hexdigest() == entry.sha256
                self._exports[entry.sha256] = ExportFile.open_zip(io.BytesIO(body))
        return self._exports

    async def _heard(self, device: Device) -> set[bytes]:
        """Return the published keys of neighbours who stand in the diary."""
        present = {day_at(sighting.time_s) for sighting in await device.diary.sightings(date(1970, 1, 1))}
        return {neighbour_key(NEIGHBOURS[0], day).key for day in self._published & present}
