"""The whole loop over a fortnight: real daemons, real server, real HTTP, an injected clock."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from forewarn_client.alerts import Alert, active_alerts
from forewarn_client.reporting import Outcome, report
from forewarn_client.status import CANNOT_KNOW, NOTHING_TO_DO, look
from forewarn_protocol.verification import TestType
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import World, seeded_timing
from tests.system.meetings import Meeting, Meetings
from tests.system.network import Network

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_S = 3600.0


def at(day: int, hour: float = 0.0) -> float:
    """Return the Unix time of an hour of day 0, 1, … of the test."""
    return (START + timedelta(days=day, hours=hour)).timestamp()


def on(day: int) -> date:
    return (START + timedelta(days=day)).date()


class Fortnight:
    """Drives the clock and asks the phones."""

    def __init__(self, world: World, clock: VirtualClock) -> None:
        self.world = world
        self.clock = clock

    async def come_to(self, day: int, hour: float = 0.0) -> None:
        await self.clock.run_until(at(day, hour) - START.timestamp())

    async def alerts(self, name: str) -> list[Alert]:
        async with self.world.device(name) as device:
            return await active_alerts(device)

    async def alert_days(self, name: str) -> list[date]:
        return [alert.day for alert in await self.alerts(name)]

    async def check(self, name: str) -> int:
        async with self.world.device(name) as device:
            return (await look(device)).check

    async def report(self, name: str, onset: date | None, test_type: TestType = TestType.CONFIRMED) -> Outcome:
        test_date = "" if onset is None else onset.isoformat()
        code = (await self.world.server.issue_code(test_type=test_type, test_date=test_date)).code
        async with self.world.device(name) as device:
            return await report(device, code, onset=onset, consent=lambda _: True)


async def test_three_phones_two_reports_a_fortnight(tmp_path: Path) -> None:
    clock = VirtualClock(START.timestamp())
    await clock.run_for(0)
    meetings = Meetings(
        clock,
        [
            Meeting("an", "binh", at(2, 23.0), at(3, 1.0)),  # on a night train, across midnight
            Meeting("an", "chi", at(5, 12.0), at(5, 12.75)),  # lunch
            Meeting("an", "binh", at(6, 12.0), at(6, 12.05)),  # three minutes at a bus stop
            Meeting("an", "chi", at(9, 18.0), at(9, 19.0)),  # after An's report, while Chi falls ill
        ],
    )
    async with (
        World.open(clock, meetings, tmp_path) as world,
        Network.to(world.server.url) as network_of_binh,
    ):
        story = Fortnight(world, clock)
        for number, name in enumerate(("an", "binh", "chi")):
            server = network_of_binh.url if name == "binh" else None
            world.add_phone(name, timing=seeded_timing(number), server=server, confidence=3)

        await story.come_to(7, 10.0)
        assert await story.alerts("binh") == await story.alerts("chi") == []
        assert await story.check("binh") == NOTHING_TO_DO

        # Day 7: Binh is out of reach of any network when An reports.
        network_of_binh.connected = False
        assert await story.report("an", on(4)) is Outcome.SENT
        await story.come_to(8, 9.0)
        assert await story.alert_days("chi") == [on(5)]
        assert await story.alert_days("binh") == []
        await story.come_to(8, 12.0)
        assert await story.check("binh") == CANNOT_KNOW

        # Day 8: the network is back, and the night train is told, on both sides of midnight.
        network_of_binh.connected = True
        await story.come_to(8, 20.0)
        assert await story.alert_days("binh") == [on(2), on(3)]
        assert all(40 <= alert.minutes <= 65 for alert in await story.alerts("binh"))
        assert await story.alert_days("an") == []

        # Day 10: Chi reports too.
        await story.come_to(10, 9.0)
        assert await story.report("chi", on(9)) is Outcome.SENT
        await story.come_to(11, 12.0)
        assert await story.alert_days("an") == [on(9)]
        assert await story.alert_days("chi") == [on(5)]
        assert await story.alert_days("binh") == [on(2), on(3)]

        # Once forgotten, a day can't be told any more, by anybody.
        await story.come_to(14, 12.0)
        told = {name: await story.alert_days(name) for name in ("an", "binh", "chi")}
        assert told == {"an": [on(9)], "binh": [on(2), on(3)], "chi": [on(5)]}
        await story.come_to(18, 12.0)
        assert await story.alert_days("binh") == []
