"""Where `bluez` radios hear each other: the adapters of a fake bluetoothd, in time that runs faster."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random

import pytest

from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.timing import Timing
from forewarn_simulations.clocks import ScaledClock
from tests.client.fake_bluez import FakeBluez, fake_bluez


class Bluez:
    """Each radio has an adapter of its own; what is broken is the kernel, which keeps an adapter's address."""

    def __init__(self, fake: FakeBluez) -> None:
        self._fake = fake
        self.clock = fake.clock
        # Messages come real milliseconds late. The first intervals drawn from 38 are well inside their bounds.
        self._timing = Timing(random=Random(38))
        self._names: list[str] = []

    def radio(self, name: str, *, broken: bool = False) -> BluezRadio:
        if name not in self._names:
            self._names.append(name)
        adapter = f"hci{self._names.index(name)}"
        self._fake.adapter(adapter)
        self._fake.keeps_address = self._fake.keeps_address or broken
        return self._fake.radio(adapter, self._timing)


def bluez(
    *, tapped: bool = False, refuses: bool = False
) -> Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Bluez]]:
    """Open a world in which the kernel tells of all that it hears, or bluetoothd refuses every advertisement."""

    @asynccontextmanager
    async def opening(request: pytest.FixtureRequest) -> AsyncIterator[Bluez]:
        address = request.getfixturevalue("system_bus")
        async with fake_bluez(address, ScaledClock(1_750_000_000, 10), refuses_all=refuses) as fake:
            fake.kernel.trusted = tapped
            yield Bluez(fake)

    return opening
