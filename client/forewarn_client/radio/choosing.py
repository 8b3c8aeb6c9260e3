"""The radio that the settings name."""

from functools import partial

from forewarn_client.config import ClientSettings
from forewarn_client.radio import Radio
from forewarn_client.radio.loopback import Air, EmptyRoom, LoopbackRadio
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Missing
from forewarn_shell.clock import Clock


def choose_radio(settings: ClientSettings, clock: Clock, timing: Timing) -> Radio:
    """Return the radio that the settings name, not yet started.

    Raises:
        Missing: the extra of that radio is not installed.
    """
    if settings.radio == "loopback":
        return LoopbackRadio(Air(clock, EmptyRoom()), "self", timing, service_uuid=settings.service_uuid)
    if settings.radio == "bluez":
        return _bluez(settings, clock, timing)
    return _hci(settings, clock, timing)


def _bluez(settings: ClientSettings, clock: Clock, timing: Timing) -> Radio:
    try:
        from forewarn_client.radio.bluez import BluezRadio  # noqa: PLC0415 - an extra, as below
    except ModuleNotFoundError as error:
        raise _without_extra("bluez", error) from error
    return BluezRadio(settings.adapter, clock, timing, service_uuid=settings.service_uuid)


def _hci(settings: ClientSettings, clock: Clock, timing: Timing) -> Radio:
    # Imported here: bumble is an extra, and a device with another radio is not to carry it.
    try:
        from forewarn_client.radio.hci import HciRadio  # noqa: PLC0415 - as said above
        from forewarn_client.radio.hci_link import open_named  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _without_extra("hci", error) from error
    return HciRadio(partial(open_named, settings.hci_transport), clock, timing, service_uuid=settings.service_uuid)


def _without_extra(radio: str, error: ModuleNotFoundError) -> Missing:
    if (error.name or "").startswith("forewarn"):
        raise error  # a defect of ours, which no extra mends
    return Missing(f"radio \"{radio}\" needs the module {error.name}: run pip install 'forewarn[client,{radio}]'")
