"""A device on a virtual clock: noon of a UTC day, an empty diary, no environment."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forewarn_client.config import ENVIRONMENT_PREFIX, ClientSettings
from forewarn_client.device import Device
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer, serving

NOON_S = 1_750_075_200.0
"""2025-06-16T12:00:00Z."""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
async def clock() -> VirtualClock:
    return VirtualClock(NOON_S)  # made inside the loop: it watches every task from here on


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    return ClientSettings(data=tmp_path / "data", assessing="thread")


@pytest.fixture
async def device(settings: ClientSettings, clock: VirtualClock) -> AsyncIterator[Device]:
    async with Device.open(settings, clock) as opened:
        yield opened


@pytest.fixture
async def server(clock: VirtualClock) -> AsyncIterator[HonestServer]:
    async with serving(clock) as running:
        yield running
