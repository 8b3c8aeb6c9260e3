from collections.abc import AsyncIterator

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_simulations.clocks import VirtualClock
from tests.client.page.visitor import Visitor, visiting


@pytest.fixture
async def visitor(settings: ClientSettings, device: Device, clock: VirtualClock) -> AsyncIterator[Visitor]:
    """Give a person who looks at the page of a device that has a diary."""
    del device
    async with visiting(settings, clock) as entered:
        yield entered
