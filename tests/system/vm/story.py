"""In the virtual machine: two tracers meet, one reports, the other is warned; then a radio rotates wrongly on purpose.

Server and daemons are processes of their own, forked from this one, which has imported them already; they share a
clock. One daemon is killed in the middle of the first day and started again.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path

import forewarn_client.cli  # noqa: F401 - loaded here, for the commands that are forked from it
from forewarn_client.__main__ import main as command_line
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.radio.choosing import choose_radio
from forewarn_client.reporting import Outcome, report
from forewarn_client.running import until_sigterm
from forewarn_client.status import ALERT_IS_ACTIVE, NOTHING_TO_DO, look
from forewarn_client.timing import Timing
from forewarn_protocol.intervals import day_at
from forewarn_server.config import ServerSettings
from forewarn_shell.clock import SystemClock
from forewarn_simulations.clocks import ScaledClock
from forewarn_simulations.processes import run_server
from forewarn_simulations.real_radio import brisk_daemon
from forewarn_simulations.world import Server
from tests.contracts.air_log import AirLog, by_sender, stays
from tests.system.vm import control
from tests.system.vm.watched_radio import WatchedRadio

FACTOR = 75
DAY_S, HOUR_S = 86_400, 3600
FIRST_DAY_S = (time.time() // DAY_S + 1) * DAY_S + 2 * HOUR_S
"""Tomorrow: later than what the server has signed already."""
ADAPTERS = {"a": "hci0", "b": "hci1"}
IDENTIFIERS = 7
"""Of each device on the first day: five rotations, and one more for the one that is killed."""
KILLED_AFTER = 3
DEAD_FOR_S = 2
"""As systemd waits before it starts a service again."""
PATIENCE_S = 90
"""Real seconds for one step on a busy machine."""
PORT = 8080
HOME = Path("/run/forewarn")
RUN = Path("/run")
AIR_LOG = RUN / "air.log"

forked = ForkContext()


class Story:
    """The server and the tracers of it: the person of `a` will report, the one of `b` will be warned."""

    def __init__(self, radio: str) -> None:
        self.radio = radio
        self.clock = ScaledClock(FIRST_DAY_S, FACTOR)
        self.killed_s = 0.0
        self.running: dict[str, ForkProcess] = {}
        set_machines_clock(FIRST_DAY_S)
        shutil.copytree(os.environ["SERVER_DATA"], HOME / "server")
        self.feed_key = os.environ["FEED_KEY"]
        self.births_s: dict[str, list[float]] = {adapter: [] for adapter in ADAPTERS.values()}

    def settings(self, name: str) -> ClientSettings:
        adapter = ADAPTERS[name]
        return ClientSettings.load(
            data=HOME / name,
            server=f"http://127.0.0.1:{PORT}",
            public_key=self.feed_key,
            language="en",
            radio=self.radio,
            adapter=adapter,
            hci_transport=f"hci-socket:{adapter[-1]}",
            confidence=3,
        )

    def switch_on(self, name: str) -> None:
        """Start the server or a daemon, and wait until it says that it works."""
        begin = self._serve if name == "server" else self._trace
        ours, theirs = forked.Pipe(duplex=False)
        process = forked.Process(target=begin, args=(name, partial(theirs.send, "ready")), name=name, daemon=True)
        process.start()
        theirs.close()
        self.running[name] = process
        if not ours.poll(PATIENCE_S) or ours.recv() != "ready":
            raise SystemExit(f"{name} does not start")
        if name in ADAPTERS:
            self.births_s[ADAPTERS[name]].append(time.monotonic())

    def switch_off(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        os.kill(process.pid or 0, number)
        process.join(PATIENCE_S)
        say(f"{name} ended with {process.exitcode}")

    def new_day(self, first_s: float) -> None:
        """Switch everything on upon a clock that starts at this time."""
        self.clock = ScaledClock(first_s, FACTOR)
        set_machines_clock(first_s)
        for name in ("server", "a", "b"):
            self.switch_on(name)

    def end_day(self) -> None:
        for name in ("a", "b", "server"):
            self.switch_off(name)

    async def report(self) -> Outcome:
        """Let the person of `a` report, with a code that the server has issued."""
        url = f"http://127.0.0.1:{PORT}"
        server = Server(url, ServerSettings.load(HOME / "server"), self.feed_key, os.environ["API_KEY"])
        today = day_at(self.clock.utc()).isoformat()
        code = (await server.issue_code(test_date=today)).long_code or ""
        async with Device.open(self.settings("a"), self.clock) as device:
            return await report(device, code, consent=lambda _: True)

    async def check(self, name: str) -> int:
        async with Device.open(self.settings(name), self.clock) as device:
            return (await look(device)).check

    def command(self, *words: str) -> int | None:
        """Return the exit code of the real command line, on the machine's clock."""
        set_machines_clock(self.clock.utc())
        sys.argv = ["forewarn-client", *words]
        process = forked.Process(target=command_line, name=" ".join(words))
        process.start()
        process.join(PATIENCE_S)
        return process.exitcode

    def _serve(self, name: str, ready: Callable[[], None]) -> None:
        settings = ServerSettings.load(HOME / name, port=PORT, minimum_reports_per_file=1, maximum_wait_h=0)
        run_server(settings, self.clock, lambda _: ready())

    def _trace(self, name: str, ready: Callable[[], None]) -> None:
        settings = self.settings(name)
        real = choose_radio(settings, SystemClock(), Timing.production())
        daemon = brisk_daemon(settings, self.clock, WatchedRadio(real, RUN / f"windows-{name}.jsonl"))
        try:
            asyncio.run(until_sigterm(daemon.run(ready)))
        except asyncio.CancelledError:
            say(f"{name}: switched off")


def meet(story: Story) -> None:
    """Let both speak and hear until each has spoken enough identifiers; kill one on the way."""

    def have_spoken(count: int, *names: str) -> Callable[[], bool]:
        return lambda: all(spoken(name) >= count for name in names)

    wait_for(have_spoken(KILLED_AFTER, "hci1"), "b's first identifiers")
    story.switch_off("b", signal.SIGKILL)
    story.killed_s = time.monotonic()
    time.sleep(DEAD_FOR_S)
    story.switch_on("b")
    wait_for(have_spoken(IDENTIFIERS, "hci0", "hci1"), "the identifiers of a meeting")


def spoken(name: str) -> int:
    return len(stays(by_sender(AirLog.read(whole_lines(AIR_LOG)).sent).get(name, ())))


def whole_lines(path: Path) -> str:
    return path.read_text().rpartition("\n")[0]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, for the event comes from another process."""
    until_s = time.monotonic() + 3 * PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(1)


def set_machines_clock(unix_s: float) -> None:
    time.clock_settime(time.CLOCK_REALTIME, unix_s)


def say(text: str) -> None:
    sys.stdout.write(f"[{time.monotonic():.1f}] {text}\n")
    sys.stdout.flush()


def main() -> None:
    logging.basicConfig(level="INFO", format="%(relativeCreated)d %(processName)s %(levelname)s %(message)s")
    radio = os.environ["RADIO"]
    told: dict[str, object] = {}
    story = Story(radio)
    control.wait_for_adapters(radio)
    say("adapters ready")
    story.new_day(FIRST_DAY_S)
    say("day one")
    meet(story)
    say("met")
    told["reported"] = asyncio.run(story.report()).value
    reported_s = story.clock.utc()
    story.end_day()
    story.new_day(FIRST_DAY_S + DAY_S)
    say("day two")
    wait_for(lambda: asyncio.run(story.check("b")) == ALERT_IS_ACTIVE, "b's alert")
    told["warned_after_s"] = story.clock.utc() - reported_s
    wait_for(lambda: asyncio.run(story.check("a")) == NOTHING_TO_DO, "a's match")
    told["check"] = {name: story.command("--data", str(HOME / name), "check") for name in ("a", "b")}
    story.end_day()
    told["births_s"], told["killed_s"], told["ended_s"] = story.births_s, story.killed_s, time.monotonic()
    if radio == "bluez":
        told["on_again_s"] = asyncio.run(control.switch_off_and_on())
        asyncio.run(control.hear(RUN / "windows-untapped.jsonl", tapped=False))
        control.begin_bluetoothd_anew()
        asyncio.run(control.hear(RUN / "windows-stock.jsonl", tapped=False))
        asyncio.run(control.hear(RUN / "windows-tapped.jsonl", tapped=True))
        told["refused_from_s"] = time.monotonic()
        asyncio.run(control.speak_though_refused())
    told["control_from_s"] = time.monotonic()
    asyncio.run(control.rotate_wrongly(radio))
    (RUN / "results" / "story.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
