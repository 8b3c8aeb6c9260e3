"""`hci` over a real socket, and what a person reads when there is nothing at its end."""

import asyncio
import errno
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from forewarn_client.config import ClientSettings
from forewarn_client.radio import AdvertisingReport
from forewarn_client.radio.bluetooth_socket import USER_CHANNEL, bind_channel
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.radio.hci import HciRadio
from forewarn_client.radio.hci_link import open_named
from forewarn_client.radio.hci_socket import SocketSink, SocketSource, SocketTransport, _sentence
from forewarn_client.timing import Timing
from forewarn_protocol.advertisement import Payload, encode
from forewarn_protocol.errors import BadSettings, Missing
from forewarn_shell.clock import SystemClock
from tests.contracts.virtual_controllers import VirtualAir, VirtualController

PAYLOAD = Payload.from_service_data(bytes([1]) * 20)


class Adapter:
    """A virtual controller at the far end of a socket pair, as the kernel is at that of a user channel."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.air = VirtualAir()
        self.controller = VirtualController("a", self.air, Random(1))
        self.controller.host = SocketSink(self.far)
        self._source = SocketSource(self.far)
        self._source.set_packet_sink(self.controller)

    async def opened(self) -> SocketTransport:
        return SocketTransport(self.near)

    def unplug(self) -> None:
        self._source.close()
        self.far.close()


async def test_a_radio_speaks_through_a_socket_until_the_adapter_is_unplugged() -> None:
    adapter, clock = Adapter(), SystemClock()
    radio = HciRadio(adapter.opened, clock, Timing())
    assert (await radio.start()).extended_advertising
    adapter.far.send(bytes([0x77, 1, 2, 3]))  # a packet of no known kind
    await radio.advertise(PAYLOAD)
    waiting = asyncio.create_task(radio.stay_on_air(clock.monotonic() + 600))
    await asyncio.sleep(0)
    adapter.unplug()
    with pytest.raises(Missing, match="is gone"):
        await waiting
    with pytest.raises(Missing):
        await radio.advertise(PAYLOAD)
    await radio.close()
    assert {sent.data for sent in adapter.air.log} == {encode(PAYLOAD)}


async def test_a_closed_radio_gives_the_adapter_back_silent() -> None:
    adapter = Adapter()
    radio = HciRadio(adapter.opened, SystemClock(), Timing())
    await radio.start()
    await radio.advertise(PAYLOAD)
    await radio.close()
    assert adapter.controller.asked[-1] == "HCI_RESET_COMMAND"
    assert adapter.near.fileno() == -1
    with pytest.raises(Missing, match="start the radio first"):
        await radio.advertise(PAYLOAD)
    adapter.unplug()


async def test_a_command_to_an_adapter_that_has_just_gone_is_one_line() -> None:
    adapter = Adapter()
    radio = HciRadio(adapter.opened, SystemClock(), Timing())
    await radio.start()
    adapter.unplug()
    with pytest.raises(Missing, match="is gone"):
        await radio.advertise(PAYLOAD)
    await radio.close()


async def listen(radio: HciRadio) -> list[AdvertisingReport]:
    return [report async for report in radio.scan(60)]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_events_an_adapter_makes_up_the_radio_works_on_or_says_that_it_is_gone(seed: int) -> None:
    random, adapter = Random(seed), Adapter()
    radio = HciRadio(adapter.opened, SystemClock(), Timing())
    await radio.start()
    heard = asyncio.create_task(listen(radio))
    while not adapter.controller.le_scan_enable:  # noqa: ASYNC110 - a controller tells nobody
        await asyncio.sleep(0)
    for _ in range(300):
        content = random.randbytes(random.choice([0, 1, 4, 30, 60]))
        if random.random() < 0.5:
            content = bytes([random.choice([2, 13]), 1]) + content  # one report of what was heard
        code = random.choice([0x3E, 0x3E, 0x0E, 0x0F, random.randrange(0x10), random.randrange(0x11, 256)])
        with suppress(OSError):  # it was let go of
            adapter.far.send(bytes([4, code, len(content)]) + content)
        await asyncio.sleep(0)
    with suppress(Missing):
        await radio.advertise(PAYLOAD)
        await radio.stop_advertising()
    heard.cancel()
    (ended,) = await asyncio.gather(heard, return_exceptions=True)
    assert isinstance(ended, (asyncio.CancelledError, Missing))
    await radio.close()
    adapter.unplug()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EPERM, "CAP_NET_ADMIN"),
        (errno.EBUSY, "bluetoothctl power off"),
        (errno.ENODEV, "plug it in"),
        (errno.ERFKILL, "rfkill unblock bluetooth"),
        (errno.EAFNOSUPPORT, "no Bluetooth"),
        (errno.EIO, "hci_transport"),
    ],
)
def test_why_an_adapter_cannot_be_taken_and_what_to_do(number: int, advice: str) -> None:
    assert _sentence(7, number).startswith("the Bluetooth adapter hci7 can't be taken: ")
    assert advice in _sentence(7, number)


def test_a_socket_of_another_kind_is_not_bound_to_a_channel() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as raw, pytest.raises(OSError):  # noqa: PT011 - any number
        bind_channel(raw, 7, USER_CHANNEL)


@pytest.mark.parametrize(
    ("name", "says"),
    [("hci-socket:777", "hci777 can't be taken"), ("unix:/nowhere/at/all", "unix:/nowhere/at/all can't be opened")],
)
async def test_a_transport_with_nothing_behind_it_is_one_line(name: str, says: str) -> None:
    with pytest.raises(Missing, match=says) as caught:
        await open_named(name)
    assert "\n" not in caught.value.message


async def test_the_settings_choose_the_radio_and_its_transport(tmp_path: Path) -> None:
    settings = ClientSettings.load(data=tmp_path, radio="hci", hci_transport="unix:/nowhere/at/all")
    radio = choose_radio(settings, SystemClock(), Timing())
    assert isinstance(radio, HciRadio)
    with pytest.raises(Missing, match="unix:/nowhere/at/all"):
        await radio.start()


@pytest.mark.parametrize(
    "name", ["", "hci0", "hci-socket", "hci-socket:x", "vhci:", "usb:0 1", "file:/dev/null", "usb:"]
)
def test_a_transport_of_no_known_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings, match=r"hci_transport is wrong .*hci-socket:0, usb:0"):
        ClientSettings.load(data=tmp_path, hci_transport=name)


def test_without_its_extra_the_radio_says_which_to_install(tmp_path: Path) -> None:
    """In a process of its own, where bumble is really not to be had."""
    script = (
        "import sys; sys.modules['bumble'] = None\n"
        "from forewarn_shell.command_line import start\n"
        f"sys.exit(start('forewarn-client', 'forewarn_client.cli', ['--data', {str(tmp_path)!r}, 'run']))"
    )
    ended = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"FOREWARN_CLIENT_RADIO": "hci", "PYTHONPATH": ":".join(sys.path)},
    )
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr == (
        "forewarn-client: radio \"hci\" needs the module bumble: run pip install 'forewarn[client,hci]'\n"
    )
