from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from forewarn_client.board import LAST_DOWNLOAD, LAST_SCAN
from forewarn_protocol.errors import BadSettings, Refused
from forewarn_simulations.clocks import ScaledClock, VirtualClock
from forewarn_simulations.world import World, scratch_folder, seeded_timing

EPOCH_S = 1_767_225_600.0 + 9 * 3600


class OneRoom:
    """Everybody hears everybody, equally loud."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        del sender, receiver, monotonic_s
        return -60


@asynccontextmanager
async def world(folder: Path, clock: VirtualClock, **settings: object) -> AsyncIterator[World]:
    await clock.run_for(0)
    async with World.open(clock, OneRoom(), folder, **settings) as opened:
        yield opened


async def test_phones_meet_and_fetch_from_a_real_server_in_simulated_time(tmp_path: Path) -> None:
    clock = VirtualClock(EPOCH_S)
    async with world(tmp_path, clock) as opened:
        for seed, name in enumerate(("a", "b")):
            opened.add_phone(name, timing=seeded_timing(seed))
        await clock.run_for(3600)
        for name in ("a", "b"):
            async with opened.device(name) as device:
                status = await device.status.read()
                assert EPOCH_S < status[LAST_SCAN] <= EPOCH_S + 3600
                assert EPOCH_S < status[LAST_DOWNLOAD] <= EPOCH_S + 3600
                assert not [name for name in status if name.startswith("job:")]
    assert clock.monotonic() == 3600


async def test_the_server_speaks_http_and_tells_the_simulated_time(tmp_path: Path) -> None:
    async with (
        world(tmp_path, VirtualClock(EPOCH_S)) as opened,
        ClientSession() as session,
        session.get(f"{opened.server.url}/config/vn.json") as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Date"].startswith("Thu, 01 Jan 2026 09:0")


async def test_the_authority_gets_a_code_over_http_and_another_key_gets_none(tmp_path: Path) -> None:
    async with world(tmp_path, VirtualClock(EPOCH_S)) as opened:
        answer = await opened.server.issue_code(test_date="2026-01-01")
        assert len(answer.code) == 8
        opened.server._api_key = "another"
        with pytest.raises(Refused):
            await opened.server.issue_code()


async def test_a_phone_that_is_switched_off_leaves_the_air_and_closes_its_data(tmp_path: Path) -> None:
    clock = VirtualClock(EPOCH_S)
    async with world(tmp_path, clock) as opened:
        opened.add_phone("a", timing=seeded_timing(1))
        await clock.run_for(600)
        await opened.switch_off("a")
        assert opened.phones == {}
        await clock.run_for(600)
        assert opened.air.heard("listener", clock.monotonic() - 60, clock.monotonic(), 0xFD6F) == []


async def test_settings_of_server_and_phone_are_checked_as_the_products(tmp_path: Path) -> None:
    with pytest.raises(BadSettings):
        async with world(tmp_path / "one", VirtualClock(EPOCH_S), padded_keys=-1):
            pass
    async with world(tmp_path / "two", VirtualClock(EPOCH_S), padded_keys=10) as opened:
        assert opened.server.settings.padded_keys == 10
        with pytest.raises(BadSettings):
            opened.add_phone("a", tx_power_dbm=99)


async def test_an_error_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    clock = VirtualClock(EPOCH_S)

    async def block() -> None:
        async with world(tmp_path, clock) as opened:
            opened.add_phone("a", timing=seeded_timing(1))
            await clock.run_for(60)
            raise Refused("no", "no")

    with pytest.raises(Refused, match="no"):
        await block()


async def test_the_same_entry_runs_on_a_scaled_clock(tmp_path: Path) -> None:
    clock = ScaledClock(EPOCH_S, 600)
    async with World.open(clock, OneRoom(), tmp_path) as opened:
        opened.add_phone("a", timing=seeded_timing(1, first_step_s=(1.0, 5.0)))
        await clock.sleep_until(clock.monotonic() + 240)
        async with opened.device("a") as device:
            assert LAST_SCAN in await device.status.read()


async def test_a_scratch_folder_is_gone_afterwards() -> None:
    async with scratch_folder() as folder:
        (folder / "file").write_text("x")
        assert folder.is_dir()
    assert not folder.exists()
