"""Runs the demo: lunch, bus, a positive test, a code, a report, the sealed file, and every phone judging for itself."""

import time
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import ClientSession

from forewarn_client.board import LAST_MATCH
from forewarn_client.reporting import report
from forewarn_protocol.errors import Missing
from forewarn_protocol.exports.index import Index, IndexEntry
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.demo.air import DemoAir
from forewarn_simulations.demo.layout import BUS_START_S, LUNCH_START_S, Layout, draw_layout
from forewarn_simulations.demo.looking import Look, look
from forewarn_simulations.demo.outcome import Loop, Moment, Outcome
from forewarn_simulations.demo.times import EPOCH_S, local_time
from forewarn_simulations.named_streams import NamedStreams
from forewarn_simulations.world import World, scratch_folder, seeded_timing

TEST_S: Final = 7.25 * 3600.0
"""When the F0 learns of the positive test: half past six in the evening."""
LONGEST_WAIT_S: Final = 30 * 3600.0
_AFTER_THE_HOUR_S: Final = 120.0
_LOOK_EVERY_S: Final = 1800.0
_SHOW_EVERY_S: Final = 600.0


class Narrator(Protocol):
    """Who tells the story while it runs."""

    def reach(self, time_s: float) -> None:
        """Note that the simulated time has come this far."""
        ...

    def tell(self, moment: Moment) -> None:
        """Tell one step."""
        ...


async def run_story(seed: int, phones: int, narrator: Narrator) -> Outcome:
    """Run the whole loop once and look at every phone."""
    began = time.perf_counter()
    streams = NamedStreams(seed)
    layout = draw_layout(streams, phones)
    air = DemoAir(streams, layout)
    clock = VirtualClock(EPOCH_S)
    await clock.run_for(0)  # from here on time waits for this task
    async with scratch_folder() as folder, World.open(clock, air, folder) as world:
        story = _Story(world, clock, layout, narrator)
        await story.meet(streams, air)
        await story.publish(streams)
        await story.wait_for_file()
        await story.wait_for_phones()
        found = await look(world, layout.f0, layout.people[1:], EPOCH_S)
        story.judge(found)
        embargo_s = world.server.settings.embargo_h * 3600.0
        return Outcome(
            seed=seed,
            layout=layout,
            calibrations=air.calibrations,
            people=found.people,
            moments=tuple(story.moments),
            loudness=air.loudness(),
            configuration=found.configuration,
            loop=Loop(TEST_S, found.keys_end_s + embargo_s - EPOCH_S, story.sealed_s, story.fetched_s),
            file_keys=story.file_keys,
            seconds=time.perf_counter() - began,
        )


class _Story:
    """The plot: each method lets time run to the next thing that happens, and tells it."""

    def __init__(self, world: World, clock: VirtualClock, layout: Layout, narrator: Narrator) -> None:
        self.moments: list[Moment] = []
        self.file_keys = 0
        self.sealed_s = 0.0
        self.fetched_s: dict[str, float] = {}
        self._world = world
        self._clock = clock
        self._layout = layout
        self._narrator = narrator

    async def meet(self, streams: NamedStreams, air: DemoAir) -> None:
        """Switch the phones on and let lunch and bus ride pass."""
        for person in self._layout.people:
            calibration = air.calibrations[person.name]
            self._world.add_phone(
                person.name,
                timing=seeded_timing(streams.key("timing", person.name)),
                tx_power_dbm=calibration.tx_power_dbm,
                confidence=3,
                receiver_correction_db=calibration.rssi_correction_db,
            )
        count = len(self._layout.people)
        self._tell("Phones on", f"{count} phones speak and listen; a real server listens on {self._world.server.url}.")
        await self._run_until(LUNCH_START_S)
        self._tell("Lunch", "People sit down in an open lunch area. Nobody knows yet that one of them is infected.")
        await self._run_until(self._layout.lunch_end_s)
        await self._run_until(BUS_START_S)
        self._tell("Bus", "The bus home: metal all around, where signal strength hardly tells distance.")
        await self._run_until(self._layout.bus_end_s)

    async def publish(self, streams: NamedStreams) -> None:
        """Let the F0 test positive, get a code, and publish."""
        f0 = self._layout.f0.name
        await self._run_until(TEST_S)
        today = local_time(self._clock.monotonic()).date()
        code = await self._world.server.issue_code(symptom_date=today.isoformat(), test_date=today.isoformat())
        self._tell("Positive test", f"{f0} tests positive. The health authority's API issues a code of 8 digits.")
        async with self._world.device(f0) as device:
            timing = seeded_timing(streams.key("timing", "report"))
            await report(device, code.code, onset=today, consent=lambda _: True, timing=timing)
        self._tell("Report", f"{f0}'s phone trades the code for a certificate and publishes its keys, nothing else.")

    async def wait_for_file(self) -> None:
        """Let embargo and mix pass until the hourly seal has written the export file."""
        while not (files := await self._index()):
            if self._clock.monotonic() > TEST_S + LONGEST_WAIT_S:
                raise Missing("the server sealed no export file: see its log")
            to_the_hour_s = 3600.0 - self._clock.utc() % 3600.0
            await self._run_until(self._clock.monotonic() + to_the_hour_s + _AFTER_THE_HOUR_S)
        self.sealed_s = self._clock.monotonic() - _AFTER_THE_HOUR_S
        self.file_keys = files[0].keys
        self._tell(
            "Seal",
            f"Embargo and the wait for other reports are over: a signed file of {self.file_keys} keys, nearly all"
            " of them padding: how many keys there are does not tell how many cases.",
            self.sealed_s,
        )

    async def wait_for_phones(self) -> None:
        """Let time run until every phone has fetched the file and judged its diary."""
        names = [person.name for person in self._layout.people]
        while waiting := [name for name in names if name not in self.fetched_s]:
            if self._clock.monotonic() > self.sealed_s + LONGEST_WAIT_S:
                raise Missing(f"{len(waiting)} phones fetched no export file: see their log")
            await self._run_until(self._clock.monotonic() + _LOOK_EVERY_S)
            for name in waiting:
                async with self._world.device(name) as device:
                    matched_s = (await device.status.read()).get(LAST_MATCH)
                if isinstance(matched_s, int | float) and matched_s >= EPOCH_S + self.sealed_s:
                    self.fetched_s[name] = matched_s - EPOCH_S
        self._tell(
            "Fetch",
            "Every phone has downloaded the same signed file and compared it with its own diary.",
            max(self.fetched_s.values()),
        )

    def judge(self, found: Look) -> None:
        """Tell who was warned."""
        warned = sum(one.warned for one in found.people)
        self._tell(
            "Alert",
            f"{warned} phones warn their owners, each by itself. The server does not learn which.",
            max(self.fetched_s.values()),
        )

    async def _index(self) -> tuple[IndexEntry, ...]:
        server = self._world.server
        async with (
            ClientSession() as session,
            session.get(f"{server.url}/exports/{server.settings.region}/index.json") as answer,
        ):
            return Index.parse(await answer.read()).files if answer.status == HTTPStatus.OK else ()

    async def _run_until(self, time_s: float) -> None:
        while self._clock.monotonic() < time_s:
            await self._clock.run_until(min(time_s, self._clock.monotonic() + _SHOW_EVERY_S))
            self._narrator.reach(self._clock.monotonic())

    def _tell(self, title: str, sentence: str, time_s: float | None = None) -> None:
        moment = Moment(self._clock.monotonic() if time_s is None else time_s, title, sentence)
        self.moments.append(moment)
        self._narrator.tell(moment)
