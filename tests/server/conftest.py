import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from forewarn_server.config import ServerSettings
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer, running


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def data(tmp_path: Path, fresh_server_data: Path) -> Path:
    """A data folder as `forewarn-server init` leaves it."""
    return shutil.copytree(fresh_server_data, tmp_path / "data")


@pytest.fixture
def settings(data: Path) -> ServerSettings:
    return ServerSettings.load(data)


@pytest_asyncio.fixture
async def server(settings: ServerSettings, clock: HandClock) -> AsyncIterator[RunningServer]:
    async with running(settings, clock) as started:
        yield started
