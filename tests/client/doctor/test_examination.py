"""The doctor's whole look: a real server over real HTTP, a bluetoothd on a real D-Bus, the command itself."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from forewarn_client import cli
from forewarn_client.config import ClientSettings
from forewarn_client.connection import connect
from forewarn_client.device import DEVICE_KEY_FILE, MOVED_FILE, Device
from forewarn_client.doctor.checks import Check, Findings, Level
from forewarn_client.doctor.examination import look_over
from forewarn_client.doctor.machine import Machine
from forewarn_client.pinned_feeds import CONFIGURATION, refresh
from forewarn_client.presence import LOCK_FILE, only_daemon
from forewarn_protocol.identifiers import identifiers
from forewarn_protocol.intervals import interval_at
from forewarn_shell import command_line
from forewarn_shell.clock import Keeper, SystemClock
from forewarn_simulations.clocks import ScaledClock, VirtualClock
from tests.client.fake_bluez import NONSENSE, FakeBluez, fake_bluez
from tests.client.honest_server import HonestServer, p256, public, serving
from tests.client.meetings import phone

MACHINE = Machine("6.12.43+deb13-amd64", (5, 82), may_administer_network=True, adapters=frozenset({"hci0"}))
OLD_PI = Machine("6.12.93+rpt-rpi-v8", (5, 66), may_administer_network=False)


def settings_for(server: HonestServer, data: Path, **given: object) -> ClientSettings:
    known = {"data": data, "server": server.url, "public_key": (server.public_key,), "language": "en"}
    return ClientSettings(**(known | given))  # type: ignore[arg-type]  # each test names real settings


def by_name(found: Findings) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def troubles(found: Findings) -> dict[str, Level]:
    return {check.name: check.level for check in found.checks if check.level is not Level.OK}


LOOPBACK_ALONE = {"radio": Level.WARNING, "daemon": Level.WARNING, "calibration": Level.WARNING}


@pytest.fixture
def settings(server: HonestServer, tmp_path: Path) -> ClientSettings:
    return settings_for(server, tmp_path / "data")


async def test_a_device_that_is_well_is_told_so_and_no_diary_is_made(
    settings: ClientSettings, clock: VirtualClock
) -> None:
    found = await look_over(settings, clock, MACHINE)
    assert troubles(found) == LOOPBACK_ALONE
    assert found.exit_code == 0
    assert by_name(found)["clock"].sentence == "trusted; a time service keeps it"
    assert not settings.data.exists()


async def test_a_look_beside_a_daemon_leaves_every_byte_as_it_was(
    settings: ClientSettings, server: HonestServer, clock: VirtualClock
) -> None:
    async with phone(server, settings.data, clock) as device:
        with only_daemon(settings.data):
            before = await device.database.read(lambda connection: list(connection.iterdump()))
            found = await look_over(settings, clock, MACHINE)
            assert troubles(found) == {"radio": Level.WARNING, "calibration": Level.WARNING}
            assert await device.database.read(lambda connection: list(connection.iterdump())) == before
        async with connect(server.url, clock) as connection:  # what a fetch would have left
            await refresh(device, connection, CONFIGURATION)
        assert await device.database.read(lambda connection: list(connection.iterdump())) != before


async def test_a_look_without_a_daemon_leaves_every_file_as_it_was(
    settings: ClientSettings, server: HonestServer, clock: VirtualClock
) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in settings.data.iterdir()}

    async with phone(server, settings.data, clock):
        pass
    before = files()
    assert (await look_over(settings, clock, MACHINE)).exit_code == 0
    assert files() == before
    async with phone(server, settings.data, clock) as device, connect(server.url, clock) as connection:
        await refresh(device, connection, CONFIGURATION)
    assert files() != before


async def test_a_server_at_fault_is_named(settings: ClientSettings, server: HonestServer, clock: VirtualClock) -> None:
    stranger = settings.model_copy(update={"public_key": (public(p256(9)),)})
    found = await look_over(stranger, clock, MACHINE)
    assert troubles(found) == LOOPBACK_ALONE | {"server": Level.FAILURE}
    assert found.exit_code == 1
    lost = await look_over(settings.model_copy(update={"server": "http://127.0.0.1:1"}), clock, MACHINE)
    assert troubles(lost) == LOOPBACK_ALONE | {"server": Level.FAILURE}
    assert lost.exit_code == 3
    for update in ({"server": None}, {"public_key": ()}):
        assert (await look_over(settings.model_copy(update=update), clock, MACHINE)).exit_code == 3
    server.put_index(life_s=60)
    await clock.sleep_until(clock.monotonic() + 61)
    assert troubles(await look_over(settings, clock, MACHINE)) == LOOPBACK_ALONE | {"server": Level.WARNING}


async def test_a_feed_older_than_one_accepted_before_is_refused(
    settings: ClientSettings, server: HonestServer, clock: VirtualClock
) -> None:
    server.sequence = 5
    server.put_feeds()
    async with phone(server, settings.data, clock) as device, connect(server.url, clock) as connection:
        await refresh(device, connection, CONFIGURATION)
    server.sequence = 4
    server.put_feeds()
    assert (await look_over(settings, clock, MACHINE)).exit_code == 1


async def test_the_clock_is_judged_with_the_servers_date(
    settings: ClientSettings, server: HonestServer, clock: VirtualClock
) -> None:
    clock.keeper = Keeper.NOBODY
    assert troubles(await look_over(settings, clock, MACHINE)) == LOOPBACK_ALONE
    assert by_name(await look_over(settings, clock, MACHINE))["clock"].sentence == (
        "trusted; nobody on this machine keeps it"
    )
    lonely = await look_over(settings.model_copy(update={"server": None}), clock, MACHINE)
    assert troubles(lonely)["clock"] is Level.FAILURE
    server.date = "Mon, 16 Jun 2025 12:10:00 GMT"
    late = await look_over(settings, clock, MACHINE)
    assert troubles(late) == LOOPBACK_ALONE | {"server's date": Level.WARNING}
    assert "behind the server's" in by_name(late)["server's date"].sentence
    server.date = "Mon, 16 Jun 2025 16:00:00 GMT"
    assert troubles(await look_over(settings, clock, MACHINE))["clock"] is Level.FAILURE


async def test_a_diary_that_cannot_be_opened_is_one_line(settings: ClientSettings, clock: VirtualClock) -> None:
    async with Device.open(settings, clock):
        pass
    (settings.data / DEVICE_KEY_FILE).write_bytes(b"short")
    assert troubles(await look_over(settings, clock, MACHINE))["contents"] is Level.FAILURE
    (settings.data / MOVED_FILE).touch()
    assert "moved to another device" in by_name(await look_over(settings, clock, MACHINE))["contents"].sentence


@pytest.fixture
async def fake(system_bus: str) -> AsyncIterator[FakeBluez]:
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 20)) as fake:
        fake.adapter("hci0")
        yield fake


@pytest.fixture
def on_bluez(settings: ClientSettings) -> ClientSettings:
    return settings.model_copy(update={"radio": "bluez"})


async def test_bluez_is_asked_what_it_is_and_for_nothing_else(
    fake: FakeBluez, on_bluez: ClientSettings, clock: VirtualClock
) -> None:
    found = await look_over(on_bluez, clock, MACHINE)
    assert troubles(found) == {"daemon": Level.WARNING, "calibration": Level.WARNING}
    assert by_name(found)["advertising"].sentence.startswith("extended")
    assert fake.calls == ["GetManagedObjects"]


async def test_an_old_raspberry_pi_is_told_all_that_is_wrong(
    fake: FakeBluez, on_bluez: ClientSettings, clock: VirtualClock
) -> None:
    fake.legacy, fake.experimental = True, False
    found = await look_over(on_bluez, clock, OLD_PI)
    warnings = dict.fromkeys(("daemon", "calibration", "experimental", "bluetoothd", "rights"), Level.WARNING)
    assert troubles(found) == warnings | {"kernel": Level.FAILURE}
    assert found.exit_code == 1
    debian = await look_over(on_bluez, clock, replace(OLD_PI, kernel_release="6.1.0-44-amd64"))
    assert "690,989 advertisements" in by_name(debian)["on-time"].sentence


async def test_an_adapter_that_is_missing_or_off_and_a_bluetoothd_that_is_gone_are_exit_3(
    fake: FakeBluez, on_bluez: ClientSettings, clock: VirtualClock
) -> None:
    async def said(settings: ClientSettings) -> str:
        found = await look_over(settings, clock, MACHINE)
        assert found.exit_code == 3
        assert by_name(found)["adapter"].level is Level.FAILURE
        return by_name(found)["adapter"].sentence

    assert "no Bluetooth adapter hci7" in await said(on_bluez.model_copy(update={"adapter": "hci7"}))
    await fake.power("hci0", on=False)
    assert "switched off" in await said(on_bluez)
    await fake.power("hci0", on=True)
    fake.wrong["GetManagedObjects"] = ["org.freedesktop.DBus.Error.AccessDenied", NONSENSE]
    assert "group bluetooth" in await said(on_bluez)
    assert "makes no sense" in await said(on_bluez)
    await fake.vanish()
    assert "bluetoothd does not run" in await said(on_bluez)


async def test_a_radio_whose_extra_is_missing_is_exit_3_and_says_which(
    on_bluez: ClientSettings, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("forewarn_client.radio.bluez")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bleak", None)
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    found = await look_over(on_bluez, clock, MACHINE)
    assert found.exit_code == 3
    assert "forewarn[client,bluez]" in by_name(found)["radio"].sentence


async def test_a_lock_that_cannot_be_read_is_one_line(settings: ClientSettings, clock: VirtualClock) -> None:
    settings.data.mkdir(mode=0o700)
    (settings.data / LOCK_FILE).symlink_to(LOCK_FILE)
    found = await look_over(settings, clock, MACHINE)
    assert "cannot be read" in by_name(found)["daemon"].sentence
    assert found.exit_code == 3


@pytest.mark.parametrize(
    ("transport", "machine", "trouble"),
    [
        ("hci-socket:0", MACHINE, {}),
        ("hci-socket:1", MACHINE, {"adapter": Level.FAILURE}),
        ("hci-socket:0", replace(MACHINE, may_administer_network=False), {"adapter": Level.WARNING}),
        ("usb:0", MACHINE, {}),
    ],
)
async def test_a_controller_of_ones_own_is_looked_at_from_outside(
    settings: ClientSettings, clock: VirtualClock, transport: str, machine: Machine, trouble: dict[str, Level]
) -> None:
    found = await look_over(settings.model_copy(update={"radio": "hci", "hci_transport": transport}), clock, machine)
    assert troubles(found) == {"daemon": Level.WARNING, "calibration": Level.WARNING} | trouble


async def test_the_command_prints_lines_or_json_and_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SystemClock()
    data = tmp_path / "data"
    async with serving(clock) as server:
        async with phone(server, data, clock) as device:
            spoken = await device.keyring.next_identifier(interval_at(clock.utc()))
            assert spoken is not None
            tek, _ = spoken
        options = ["--data", str(data), "--server", server.url, "--public-key", server.public_key, "doctor"]
        shown = ""
        for more in ([], ["--json"]):
            code = await asyncio.to_thread(command_line.run, cli.app, "forewarn-client", [*options, *more])
            assert code == 0
            shown += capsys.readouterr().out
    text, _, as_json = shown.rstrip("\n").rpartition("\n")
    assert text.splitlines()[0].startswith("warning  daemon")
    assert text.splitlines()[-1].startswith("Thiết bị hoạt động được; có 3")
    found = json.loads(as_json)
    assert found["exit"] == 0
    assert all(set(check) == {"name", "level", "sentence"} for check in found["checks"])
    secrets = [(data / DEVICE_KEY_FILE).read_bytes(), tek.key, *identifiers(tek.key, tek.rolling_start, 144)]
    assert not leaks(shown, secrets)
    assert server.public_key not in shown
    for secret in secrets:  # what the search would have found
        assert leaks(f"{shown}{secret.hex()}", secrets)
        assert leaks(f"{shown}{base64.b64encode(secret).decode()}", secrets)


def leaks(shown: str, secrets: list[bytes]) -> bool:
    return any(secret.hex() in shown or base64.b64encode(secret).decode() in shown for secret in secrets)
