"""Where `hci` radios of one kind of controller hear each other, in this process and in virtual time."""

from random import Random

from bumble.transport.common import Transport

from forewarn_client.radio.hci import HciRadio
from forewarn_client.timing import Timing
from tests.contracts.jumping_loop import LoopClock
from tests.contracts.virtual_controllers import (
    LegacyVirtualController,
    VirtualAir,
    VirtualController,
    VirtualTransport,
)


class BrokenHci(HciRadio):
    def _new_address(self) -> bytes:
        return bytes(5) + b"\x01"


class Hci:
    """Controllers with extended advertising, or without; `unplug` takes one away until its radio is started again."""

    kind: type[VirtualController] = VirtualController

    def __init__(self) -> None:
        self.clock = LoopClock(1_750_000_000)
        self.air = VirtualAir()
        self.controllers: dict[str, VirtualController] = {}
        self.timing = Timing(random=Random(11))
        self._wires: dict[str, VirtualTransport] = {}

    def radio(self, name: str, *, broken: bool = False) -> HciRadio:
        self.controllers[name] = self.kind(name, self.air, self.timing.random)

        async def plug() -> Transport:
            self._wires[name] = VirtualTransport(self.controllers[name])
            return self._wires[name]

        return (BrokenHci if broken else HciRadio)(plug, self.clock, self.timing)

    def unplug(self, name: str) -> None:
        self._wires[name].pull()


class LegacyHci(Hci):
    kind = LegacyVirtualController
