"""The radio that the settings name."""

from forewarn_client.config import ClientSettings
from forewarn_client.radio import Radio
from forewarn_client.radio.loopback import Air, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock


class _EmptyRoom:
    """The air of a process that is alone in it."""

    def rssi_dbm(self, sender: str, receiver: str, monotonic_s: float) -> int | None:
        del sender, receiver, monotonic_s
        return None


def choose_radio(settings: ClientSettings, clock: Clock, timing: Timing) -> Radio:
    """Return the radio that the settings name, not yet started.

    Raises:
        Missing: this version has no such radio.
    """
    if settings.radio == "loopback":
        return LoopbackRadio(Air(clock, _EmptyRoom()), "self", timing, service_uuid=settings.service_uuid)
    raise Missing(f'this version of Forewarn has no radio "{settings.radio}" yet: set radio = "loopback"')
