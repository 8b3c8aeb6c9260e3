"""Chaff seen from the network: the same connections, the same bytes both ways, the same gaps as a report."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from forewarn_client import connection as connection_module
from forewarn_client.chaff import Shape, send_chaff
from forewarn_client.config import ClientSettings
from forewarn_client.connection import connect
from forewarn_client.device import Device
from forewarn_client.pinned_feeds import CONFIGURATION, refresh
from forewarn_client.reporting import Outcome, report
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Refused
from forewarn_protocol.intervals import Interval, interval_at
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import Server
from tests.system.network import Network, Turn

START = datetime(2026, 3, 10, 9, tzinfo=UTC)
WRONG_CODE = "00000000"

Seen = list[list[tuple[str, int]]]


@dataclass
class Wire:
    """A phone, a server, and the eavesdropper between them."""

    clock: VirtualClock
    server: Server
    network: Network
    device: Device
    timing: Timing

    async def seen(self) -> tuple[Seen, list[float]]:
        """Return the turns of each new connection, and the gaps between an answer and the next request on it."""
        await self.clock.run_for(0)
        connections, self.network.connections = self.network.connections, []
        return [[(turn.way, turn.bytes) for turn in turns] for turns in connections], gaps_s(connections)

    async def report(self, *, symptom_date: str = "") -> tuple[Seen, list[float]]:
        code = (await self.server.issue_code(symptom_date=symptom_date)).code
        assert await report(self.device, code, consent=lambda _: True, timing=self.timing) is Outcome.SENT
        return await self.seen()

    async def mistype(self) -> tuple[Seen, list[float]]:
        with pytest.raises(Refused):
            await report(self.device, WRONG_CODE, consent=lambda _: True, timing=self.timing)
        return await self.seen()

    async def chaff(self, shape: Shape) -> tuple[Seen, list[float]]:
        await send_chaff(self.device, self.timing, shape)
        return await self.seen()


def gaps_s(connections: list[list[Turn]]) -> list[float]:
    turns = [turn for turns in connections for turn in turns]
    ups = [turn.at_s for turn in turns if turn.way == "up"]
    downs = [turn.at_s for turn in turns if turn.way == "down"]
    return [up - down for up, down in zip(ups[1:], downs[:-1], strict=True)]


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    clock = VirtualClock(START.timestamp())
    await clock.run_for(0)
    async with (
        Server.start(clock, tmp_path / "server") as server,
        Network.to(server.url, clock.monotonic) as network,
    ):
        settings = ClientSettings(data=tmp_path / "phone", server=network.url, public_key=(server.feed_key,))
        async with Device.open(settings, clock) as device:
            now = interval_at(clock.utc())
            for ago in range(12, -1, -1):
                await device.keyring.next_identifier(Interval(now - 144 * ago))
            yield Wire(clock, server, network, device, Timing(random=Random(1)))


async def learn_the_configuration(wire: Wire) -> None:
    """Fetch what a phone's daemon has long fetched."""
    await wire.clock.run_for(60)  # the server signs its feeds when it starts
    async with connect(wire.device.settings.server, wire.clock) as connection:
        await refresh(wire.device, connection, CONFIGURATION)
    await wire.seen()


async def test_chaff_is_byte_for_byte_a_report(wire: Wire) -> None:
    await learn_the_configuration(wire)
    chaff_seen, chaff_gaps = await wire.chaff(Shape.WHOLE)
    report_seen, report_gaps = await wire.report()
    assert chaff_seen == report_seen
    assert [[way for way, _ in turns] for turns in report_seen] == [["up", "down"] * 3]
    assert len({size for turns in report_seen for way, size in turns if way == "down"}) == 1
    assert all(0.5 <= gap <= 1.5 for gap in [*chaff_gaps, *report_gaps])
    assert len(chaff_gaps) == len(report_gaps) == 2


async def test_chaff_of_a_phone_without_configuration_fetches_it_as_a_report_does(wire: Wire) -> None:
    await wire.clock.run_for(60)
    chaff_seen, _ = await wire.chaff(Shape.WHOLE)
    await wire.device.database.write(lambda connection: connection.execute("DELETE FROM feeds"))
    report_seen, _ = await wire.report()
    assert chaff_seen == report_seen
    assert [len(turns) for turns in chaff_seen] == [2 * 5]


async def test_chaff_that_pauses_is_a_report_that_asks_once_more(wire: Wire) -> None:
    await learn_the_configuration(wire)
    chaff_seen, chaff_gaps = await wire.chaff(Shape.PAUSED)
    # An onset so early that the authority's date adds days: the person is asked again.
    report_seen, _ = await wire.report(symptom_date=(START - timedelta(days=9)).date().isoformat())
    assert chaff_seen == report_seen
    assert [len(turns) for turns in chaff_seen] == [2, 4]
    assert 5 <= chaff_gaps[0] <= 180


async def test_chaff_that_breaks_off_is_a_mistyped_code(wire: Wire) -> None:
    await learn_the_configuration(wire)
    chaff_seen, _ = await wire.chaff(Shape.BROKEN_OFF)
    report_seen, _ = await wire.mistype()
    assert chaff_seen == report_seen
    assert [len(turns) for turns in chaff_seen] == [2]


async def test_one_header_more_is_seen(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: without the header that stands for the one of chaff, a report is 11 bytes of difference."""
    await learn_the_configuration(wire)
    chaff_seen, _ = await wire.chaff(Shape.WHOLE)
    monkeypatch.setattr(connection_module, "REAL_HEADER", "X")
    report_seen, _ = await wire.report()
    assert chaff_seen != report_seen
