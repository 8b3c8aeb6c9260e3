import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forewarn_server.config import ServerSettings
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer, running
from tests.system.lossy_line import LossyLine, lossy_line
from tests.system.phones import Phones


@pytest.fixture
def server_data(tmp_path: Path, fresh_server_data: Path) -> Path:
    """A data folder as `forewarn-server init` leaves it."""
    return shutil.copytree(fresh_server_data, tmp_path / "server")


@pytest.fixture
async def server(server_data: Path) -> AsyncIterator[RunningServer]:
    settings = ServerSettings.load(server_data, minimum_reports_per_file=1, maximum_wait_h=0)
    async with running(settings, HandClock()) as started:
        yield started


@pytest.fixture
async def line(server: RunningServer) -> AsyncIterator[LossyLine]:
    async with lossy_line(server.url) as relay:
        yield relay


@pytest.fixture
def phones(server: RunningServer, line: LossyLine, tmp_path: Path) -> Phones:
    return Phones(server, line, tmp_path, pinned=server.context.keys.feed.active.public_base64)
