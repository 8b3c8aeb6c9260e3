"""A D-Bus service that answers nonsense: one line, silence, another try; and all is well again when it makes sense."""

import asyncio
import gc
import json
import logging
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from forewarn_client import cli
from forewarn_client.config import SETTINGS_FILE, ClientSettings
from forewarn_client.daemon import Daemon
from forewarn_client.doctor.bluetooth import Adapter, judge_adapter
from forewarn_client.radio.bluez import BluezRadio
from forewarn_client.radio.bluez.bluetoothd import ADAPTER as ADAPTER1
from forewarn_client.radio.bluez.bluetoothd import ADVERTISING_MANAGER
from forewarn_client.radio.bluez.radio import capabilities_of
from forewarn_client.timing import Timing
from forewarn_protocol.errors import Missing
from forewarn_shell import command_line
from forewarn_shell.command_line import EXIT_MISSING
from forewarn_simulations.clocks import ScaledClock
from tests.client.fake_bluez import NONSENSE, SILENCE, FakeBluez, Wrong, fake_bluez
from tests.client.nonsense import ANY_BODY, ERRORS, INTERFACES, PATHS, Body, bodies
from tests.client.test_bluez import ADAPTER, TIMING, listen, now_speaking, payload
from tests.client.test_cli import KEPT_CLOCK
from tests.waiting import until

ASKED = (
    *("GetManagedObjects", "RegisterAdvertisement", "UnregisterAdvertisement", "RegisterMonitor"),
    *("UnregisterMonitor", "SetDiscoveryFilter", "StartDiscovery", "StopDiscovery"),
)
SIGNALLED = {
    "PropertiesChanged": ("org.freedesktop.DBus.Properties", "sa{sv}as"),
    "InterfacesAdded": ("org.freedesktop.DBus.ObjectManager", "oa{sa{sv}}"),
    "InterfacesRemoved": ("org.freedesktop.DBus.ObjectManager", "oas"),
    "NameOwnerChanged": ("org.freedesktop.DBus", "sss"),
    "PrepareForSleep": ("org.freedesktop.login1.Manager", "b"),
}
Signal = tuple[str, str, Body]
SIGNALS = st.sampled_from(sorted(SIGNALLED)).flatmap(
    lambda member: st.tuples(st.just(member), st.sampled_from(PATHS), bodies(SIGNALLED[member][1]) | ANY_BODY)
)
ON_A_BUS = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}


def with_fake(bus: str, act: Callable[[FakeBluez, BluezRadio], Awaitable[None]], patience_s: float = 1.0) -> None:
    """Let a radio meet a bluetoothd of its own, in a loop of its own."""

    async def run() -> None:
        async with fake_bluez(bus, ScaledClock(1_750_000_000, 20)) as fake:
            fake.adapter("hci0")
            radio = BluezRadio("hci0", fake.clock, TIMING, patience_s=patience_s)
            try:
                await act(fake, radio)
            finally:
                await radio.close()

    asyncio.run(run())


@contextmanager
def one_line() -> Iterator[None]:
    """Let nothing out but what a person can be told."""
    try:
        yield
    except Missing as error:
        said = str(error).splitlines()
    else:
        return
    assert len(said) == 1


async def speak_again(fake: FakeBluez, radio: BluezRadio) -> None:
    """Hold the radio to what the daemon relies on: begun anew it speaks and hears, after a few tries at the most."""
    for _ in range(40):
        with suppress(Missing):
            await radio.start()
            await radio.advertise(payload(3))
            break
        await asyncio.sleep(0.01)
    assert now_speaking(fake) == [bytes([3]) * 20]
    for _ in range(5):
        if await hears(fake, radio):
            return
    raise AssertionError("it stays deaf")


async def hears(fake: FakeBluez, radio: BluezRadio) -> bool:
    """Tell whether a window hears a neighbour; a busy machine may need the whole of one to begin."""
    hearing = asyncio.create_task(listen(radio, 4))
    while not hearing.done():
        await fake.replay("hci0", bytes([9]) * 20, -50)
        await asyncio.sleep(0.02)
    try:
        return {report.service_data[0] for report in await hearing} == {9}
    except Missing:
        return False


def answered(bus: str, member: str, answer: Wrong, times: int) -> None:
    async def act(fake: FakeBluez, radio: BluezRadio) -> None:
        fake.wrong[member] = [answer] * times
        with one_line():
            await radio.start()
            await radio.advertise(payload(1))
            await radio.advertise(payload(2))
            await listen(radio, 2)
            await radio.stop_advertising()
        fake.wrong.clear()
        await speak_again(fake, radio)

    with_fake(bus, act)


@given(st.sampled_from(ASKED), ANY_BODY | ERRORS, st.sampled_from([1, 20]))
@example("UnregisterAdvertisement", ("", []), 1)  # a yes without a deed
@settings(max_examples=20, **ON_A_BUS)
def test_whatever_bluetoothd_answers_is_one_line_and_the_radio_works_when_it_makes_sense_again(
    system_bus: str, member: str, answer: Wrong, times: int
) -> None:
    answered(system_bus, member, answer, times)


@pytest.mark.slow
@given(st.sampled_from(ASKED), ANY_BODY | ERRORS, st.sampled_from([1, 5, 20]))
@settings(max_examples=150, **ON_A_BUS)
def test_the_same_with_many_more_answers(system_bus: str, member: str, answer: Wrong, times: int) -> None:
    answered(system_bus, member, answer, times)


@pytest.mark.parametrize("member", ASKED)
def test_an_answer_that_never_comes_is_one_line(system_bus: str, member: str) -> None:
    async def act(fake: FakeBluez, radio: BluezRadio) -> None:
        fake.wrong[member] = [SILENCE] * 20
        with one_line():
            await radio.start()
            await radio.advertise(payload(1))
            await listen(radio, 1)
            await radio.stop_advertising()

    with_fake(system_bus, act, patience_s=0.05)


async def nothing(patience_s: float) -> None:
    del patience_s


@pytest.mark.parametrize(
    ("where", "instead", "member"),
    [
        ("hearing._NOT_UNDERSTOOD", (), "GetManagedObjects"),
        ("bluetoothd.NO_PLACE", "", "UnregisterAdvertisement"),
        ("hearing.close_scanners_bus", nothing, "StopDiscovery"),
    ],
)
def test_without_what_stands_against_it_the_same_check_fails(
    system_bus: str, monkeypatch: pytest.MonkeyPatch, where: str, instead: object, member: str
) -> None:
    """Positive control, for what bleak raises and for a yes without a deed."""
    monkeypatch.setattr(f"forewarn_client.radio.bluez.{where}", instead)

    async def act(fake: FakeBluez, radio: BluezRadio) -> None:
        await radio.start()
        await radio.advertise(payload(1))
        fake.wrong[member] = [("", [])]
        with one_line():
            await listen(radio, 2)
            await radio.advertise(payload(2))
        fake.wrong.clear()
        await speak_again(fake, radio)

    with pytest.raises((AssertionError, LookupError, Missing)):  # bleak's own, or the check's
        with_fake(system_bus, act)


@given(st.lists(SIGNALS, min_size=1, max_size=8))
@example([("PropertiesChanged", "/org/bluez/hci0", ("sa{sv}as", ["org.bluez.Adapter1", {}, []]))])
@settings(max_examples=15, **ON_A_BUS)
def test_whatever_is_signalled_is_one_line_and_the_radio_hears_when_it_is_over(
    system_bus: str, signals: Sequence[Signal]
) -> None:
    async def act(fake: FakeBluez, radio: BluezRadio) -> None:
        await radio.start()
        await radio.advertise(payload(1))
        hearing = asyncio.create_task(listen(radio, 2))
        await until(lambda: hearing.done() or bool(fake.adapters[ADAPTER].discovering))
        for member, path, (signature, body) in signals:
            await fake._signal(path, SIGNALLED[member][0], member, signature, *body)
        with one_line():
            await hearing
        await fake.sleep(going=False)  # who was told that the machine goes to sleep waits for this word
        with one_line():
            await radio.stay_on_air(fake.clock.monotonic() + 0.2)
        await radio.stop_advertising()
        await speak_again(fake, radio)

    with_fake(system_bus, act)


OK, AGREED, HEADER = b"OK 1234deadbeef\r\n", b"AGREE_UNIX_FD\r\n", b"l\x02\x01\x01"
SAID_BY_A_BUS = (
    st.lists(st.binary(max_size=60) | st.sampled_from([OK, AGREED, b"REJECTED EXTERNAL\r\n", b"\r\n"]), max_size=5)
    | st.lists(st.binary(max_size=60), max_size=3).map(lambda rest: [OK, AGREED, *rest])
    | st.binary(max_size=200).map(lambda rest: [OK, AGREED, HEADER + rest])
    | st.just([OK, AGREED, HEADER + b"\xff\xff\xff\x7f\x01\x00\x00\x00\xff\xff\xff\x00"])
)


@given(SAID_BY_A_BUS, st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bus_that_is_none_is_one_line_and_leaves_no_task(
    tmp_path: Path,
    said: list[bytes],
    hangs_up: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    path = tmp_path / "bus"
    path.unlink(missing_ok=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for part in said:
                if not await reader.read(4096):
                    break
                writer.write(part)
            if not hangs_up:
                await reader.read()  # until the other side has had enough
        writer.close()

    async def run() -> None:
        server = await asyncio.start_unix_server(answer, path)
        radio = BluezRadio("hci0", ScaledClock(1_750_000_000, 20), TIMING, patience_s=0.05)
        with pytest.raises(Missing, match="the system's D-Bus does not answer: start dbus"):
            await radio.start()
        await radio.close()
        server.close()
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the server's own tasks end by themselves
                await asyncio.sleep(0.001)

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        asyncio.run(run())


NO_ADAPTER: Wrong = ("a{oa{sa{sv}}}", [{"/org/bluez/hci0": {}}])
STRANGE: tuple[Wrong, ...] = (
    NONSENSE,
    NO_ADAPTER,
    ("ay", [bytes(100_000)]),
    ("", []),
    "org.bluez.Error.Made.Up",
)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def growth_bytes(fake: FakeBluez, radio: BluezRadio, kept: list[object]) -> int:
    """Return how much memory stays after many strange answers, beyond what stayed after the first of them."""

    async def rounds(count: int) -> int:
        for number in range(count):
            fake.wrong["GetManagedObjects"] = [STRANGE[number % len(STRANGE)]]
            with suppress(Missing):
                await radio.start()
            kept.append(bytes(1000) if kept else None)
        fake.calls.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    await rounds(60)
    return -await rounds(20) + await rounds(300)


@pytest.mark.parametrize("leaks", [False, True])
def test_a_service_that_talks_nonsense_for_ever_costs_no_memory_and_no_open_file(
    system_bus: str, figure: Callable[[str], None], *, leaks: bool
) -> None:
    """With `leaks` the positive control: a kilobyte a round is found."""

    class Forgetful(list[object]):
        def append(self, item: object) -> None:
            del item

    async def act(fake: FakeBluez, radio: BluezRadio) -> None:
        with suppress(Missing):
            await radio.start()
        opened = open_files()
        grown_bytes = await growth_bytes(fake, radio, [0] if leaks else Forgetful())
        assert open_files() <= opened
        if leaks:
            assert grown_bytes > 100_000
        else:
            figure(f"bluez: 300 strange answers of bluetoothd leave {grown_bytes / 1000:.1f} kB (bar 50 kB)")
            assert grown_bytes < 50_000

    tracemalloc.start()
    try:
        with_fake(system_bus, act)
    finally:
        tracemalloc.stop()


async def test_a_daemon_says_each_fault_in_one_line_goes_on_trying_and_speaks_when_it_makes_sense_again(
    system_bus: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 100)) as fake:
        fake.adapter("hci0")
        timing = Timing(random=Random(3), first_step_s=(0.0, 1.0), scan_gap_s=(10.0, 15.0))
        radio = BluezRadio("hci0", fake.clock, timing, patience_s=1)

        def talk_nonsense() -> None:
            for member in ASKED:
                fake.wrong[member] = list(STRANGE) * 200

        work = Daemon(ClientSettings(data=tmp_path), fake.clock, radio, timing).run(talk_nonsense)
        daemon = asyncio.create_task(work)
        await fake.clock.sleep_until(fake.clock.monotonic() + 200)
        assert not daemon.done()
        assert fake.on_air == []
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert any(line.startswith("speak: what answers as bluetoothd makes no sense") for line in warned)
        fake.wrong.clear()
        await until(lambda: now_speaking(fake) != [])
        daemon.cancel()
        await asyncio.gather(daemon, return_exceptions=True)
    assert not [record for record in caplog.records if record.exc_info or "\n" in record.getMessage()]


async def test_the_commands_say_it_in_one_line_and_exit_with_3(
    system_bus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / SETTINGS_FILE).write_text('radio = "bluez"\n')

    async def call(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(command_line.run, cli.app, "forewarn-client", ["--data", str(data), *words])
        captured = capsys.readouterr()
        return code, captured.err + captured.out

    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 20)) as fake:
        fake.adapter("hci0")
        for answer in STRANGE[:3]:
            fake.wrong["GetManagedObjects"] = [answer]
            code, said = await call("doctor", "--json")
            levels = {check["name"]: check["level"] for check in json.loads(said)["checks"]}
            assert (code, levels["adapter"]) == (3, "failure")
            fake.wrong["GetManagedObjects"] = [answer]
            code, said = await call("calibrate")
            assert (code, said.count("\n")) == (3, 1)


@given(st.dictionaries(st.sampled_from(INTERFACES), bodies("a{sv}").map(lambda drawn: drawn[1][0]), max_size=5))
def test_whatever_an_adapter_says_of_itself_the_doctor_has_a_line_for_it(found: dict[str, dict[str, Any]]) -> None:
    plain = {name: {key: value.value for key, value in properties.items()} for name, properties in found.items()}
    adapter = Adapter.of("hci0", plain)
    assert (adapter is None) == (ADAPTER1 not in plain)
    if adapter is not None:
        assert all("\n" not in check.sentence for check in judge_adapter(adapter))
    least, most = capabilities_of(plain.get(ADVERTISING_MANAGER, {})).tx_power_range_dbm
    assert least <= most


@pytest.mark.slow
@pytest.mark.parametrize("answer", [answer for answer in STRANGE if answer != NO_ADAPTER])
async def test_a_daemon_that_meets_nonsense_at_its_start_ends_with_3_and_one_line(
    system_bus: str, tmp_path: Path, answer: Wrong
) -> None:
    (tmp_path / SETTINGS_FILE).write_text('radio = "bluez"\n')
    async with fake_bluez(system_bus, ScaledClock(1_750_000_000, 1)) as fake:
        fake.adapter("hci0")
        fake.wrong["GetManagedObjects"] = [answer] * 100
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KEPT_CLOCK + "from forewarn_client.__main__ import main; main()"),
            *("--data", str(tmp_path), "run"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == EXIT_MISSING
    assert b"makes no sense" in err
    assert (out, err.count(b"\n")) == (b"", 1)
