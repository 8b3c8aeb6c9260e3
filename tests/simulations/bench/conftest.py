import pytest

from forewarn_simulations.bench.fortnight import EPOCH_S
from forewarn_simulations.clocks import VirtualClock


@pytest.fixture
async def clock() -> VirtualClock:
    return VirtualClock(EPOCH_S)
