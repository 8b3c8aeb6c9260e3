"""The box of a closed site dies: its keys from the safe, in a new folder, are the same authority to every badge."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_client.status import look
from forewarn_protocol.errors import NotVerified
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import Server

START_S = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()


async def test_a_new_box_with_the_keys_of_the_old_one_is_believed_and_another_one_is_not(tmp_path: Path) -> None:
    clock = VirtualClock(START_S)
    await clock.run_for(0)

    def badge(url: str) -> ClientSettings:
        return ClientSettings(data=tmp_path / "badge", server=url, public_key=(old.feed_key,))

    async with Server.start(clock, tmp_path / "old") as old, Device.open(badge(old.url), clock) as device:
        await fetch(device)
    for name in ("keys", "settings.toml"):
        saved, restored = tmp_path / "old" / name, tmp_path / "new" / name
        (shutil.copytree if saved.is_dir() else shutil.copy)(saved, restored)
    clock.jump(timedelta(days=1).total_seconds())
    async with Server.start(clock, tmp_path / "new") as new, Device.open(badge(new.url), clock) as device:
        assert new.feed_key == old.feed_key
        await fetch(device)
        assert (await look(device)).last_match_s == clock.utc()
    # Positive control: a box with keys of its own.
    async with Server.start(clock, tmp_path / "other") as other, Device.open(badge(other.url), clock) as device:
        with pytest.raises(NotVerified):
            await fetch(device)
